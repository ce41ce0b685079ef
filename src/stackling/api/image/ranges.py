"""Byte ranges of a download (RFC 9110, section 14), one range a request, as Glance serves them. Pure."""

from __future__ import annotations

import re

from stackling.core.errors import Invalid, RangeNotSatisfiable

_RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*\Z")
_CONTENT_RANGE = re.compile(r"bytes\s+(\d+)-(\d+)/(\d+|\*)\s*\Z")


def requested(range_: str | None, content_range: str | None, size: int) -> tuple[int, int] | None:
    """(start, end) with the end excluded; None for the whole. Raises ``RangeNotSatisfiable`` or ``Invalid``.

    ``Content-Range`` in a request is how old clients ask.
    """
    if range_ is not None:
        return _range(range_, size)
    if content_range is not None:
        return _content_range(content_range, size)
    return None


def _range(text: str, size: int) -> tuple[int, int]:
    if "," in text:
        raise Invalid("Requests with multiple ranges are not supported in Glance. You may make multiple single-range "
                      "requests instead.")
    match = _RANGE.match(text.strip())
    if match is None or not (match[1] or match[2]):
        raise _unsatisfiable("Invalid Range header.", size)
    if not match[1]:
        suffix = int(match[2])
        if suffix == 0 or size == 0:
            raise _unsatisfiable("Invalid Range header.", size)
        return max(0, size - suffix), size
    start = int(match[1])
    if start >= size:
        raise _unsatisfiable("Invalid start position in Range header. Start position MUST be in the inclusive range "
                             f"[0, {size - 1}].", size)
    end = min(int(match[2]) + 1, size) if match[2] else size
    if end <= start:
        raise _unsatisfiable("Invalid Range header.", size)
    return start, end


def _content_range(text: str, size: int) -> tuple[int, int]:
    match = _CONTENT_RANGE.match(text.strip())
    if match is None or int(match[2]) < int(match[1]):
        raise _unsatisfiable("Invalid Content-Range header.", size)
    start, end = int(match[1]), int(match[2]) + 1
    if start >= size or end > size:
        raise _unsatisfiable("Invalid position in Content-Range header. It MUST be in the inclusive range "
                             f"[0, {size - 1}].", size)
    return start, end


def _unsatisfiable(message: str, size: int) -> RangeNotSatisfiable:
    return RangeNotSatisfiable(message, headers={"Content-Range": f"bytes */{size}"})
