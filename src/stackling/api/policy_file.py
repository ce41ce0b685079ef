"""An administrator's ``policy.yaml``: rules by name, as oslo.policy reads them from upstream's files.

YAML (or JSON, which is YAML) with one mapping from names to check strings; ``[]`` and ``""`` allow everybody, as
upstream. Names that nobody asks for are accepted, since other rules may refer to them and since files are carried from
cloud to cloud.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

MOST_BYTES = 1 << 20
Stamp = tuple[int, int, int] | None


class PolicyFileError(Exception):
    """The file can't be used; the message begins with ``FILE, line N``."""

    def __init__(self, path: Path | None, line: int, problem: str) -> None:
        super().__init__(f"{path}, line {line}: {problem}")


@dataclass(frozen=True, slots=True)
class Line:
    """A rule's text and the line on which it begins."""

    text: str
    number: int


def stamp(path: Path) -> Stamp:
    """What is different as soon as the file is another one; None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read(path: Path) -> dict[str, Line]:
    """The rules in *path*; none where it is missing. Raises ``PolicyFileError``."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise PolicyFileError(path, 1, f"it can't be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise PolicyFileError(path, 1, f"it is larger than {MOST_BYTES} bytes")
    return _rules(path, data)


def _rules(path: Path, data: bytes) -> dict[str, Line]:
    import yaml

    try:
        root: Any = yaml.compose(data, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        open_ended = "end of stream" in (error.problem or "")      # then the beginning tells more
        mark = error.context_mark if open_ended and error.context_mark else error.problem_mark
        problem = ": ".join(part for part in (error.context, error.problem) if part)
        raise PolicyFileError(path, mark.line + 1 if mark else 1, f"it isn't YAML: {problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise PolicyFileError(path, 1, f"it isn't YAML: {error}") from None
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise PolicyFileError(path, _line(root), 'it must hold rules, as "identity:get_user": "role:admin"')
    found: dict[str, Line] = {}
    for key, value in root.value:
        if not isinstance(key, yaml.ScalarNode):
            raise PolicyFileError(path, _line(key), "a rule's name must be a text")
        if key.value in found:
            raise PolicyFileError(path, _line(key), f"rule {key.value!r} stands here a second time "
                                                    f"(the first is on line {found[key.value].number})")
        found[key.value] = Line(_text(path, key.value, value), _line(key))
    return found


def _text(path: Path, name: str, value: yaml.Node) -> str:
    import yaml

    if isinstance(value, yaml.SequenceNode) and not value.value:
        return "@"
    if not isinstance(value, yaml.ScalarNode) or value.tag != "tag:yaml.org,2002:str":
        raise PolicyFileError(path, _line(value), f"rule {name!r} must be a text, as \"role:admin\"")
    return str(value.value)


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1
