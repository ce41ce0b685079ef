"""Column types that mean the same in SQLite, MariaDB and PostgreSQL."""

from typing import Any

import msgspec
from sqlalchemy import String, Text, TypeDecorator
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


class Ascii(mysql.VARCHAR):
    """MariaDB's ASCII text. It refuses to compare its column with anything else, so other characters are escaped:
    an id with such a character is unknown there too, and no failure."""

    def __init__(self, length: int, charset: str = "ascii", collation: str = "ascii_bin") -> None:
        super().__init__(length, charset=charset, collation=collation)

    def bind_processor(self, dialect: Dialect) -> Any:
        return _escaped


def _escaped(value: Any) -> Any:
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("ascii", "backslashreplace").decode()


Id = String(64).with_variant(Ascii(64), "mysql", "mariadb")
"""An id: compared byte for byte."""

Instant = String(26).with_variant(Ascii(26), "mysql", "mariadb")
"""An instant as ``core.clock`` writes it."""

Name = String(255).with_variant(mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
"""A name that people chose: compared exactly, case and accents included."""

Long = Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
"""A text of any length."""


class Json(TypeDecorator[Any]):
    """A JSON value in a text column, coded by msgspec (no database's own JSON type is relied upon)."""

    impl = Long
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else _encoder.encode(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return _decoded(value)

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        return _decoded             # without the layers between: a list reads thousands of these


def _decoded(value: str | None) -> Any:
    if value is None:
        return None
    return [] if value == "[]" else {} if value == "{}" else _decoder.decode(value)
