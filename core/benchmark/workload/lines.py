"""Lines of a file that the user gives, each with its place for complaints."""

from __future__ import annotations

from pathlib import Path

from core.errors import RequestError
from core.sanitize import clean


def numbered_lines(path: Path, largest: int, empty: str) -> list[tuple[str, str]]:
    """The lines with something in them, and `line N of PATH` for each.

    Args:
        path: of UTF-8 text, with or without a byte order mark.
        largest: bytes that are read at most.
        empty: what is wrong with a file without such a line, behind its path.

    Raises:
        RequestError: the file cannot be read, is too large, or has nothing in it.
    """
    shown = clean(str(path), limit=200)
    try:
        if path.stat().st_size > largest:
            raise RequestError(f"{shown} has more than {largest >> 20} MiB: give a part of it")
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise RequestError(f"{shown} is not UTF-8 text (byte {error.start}): convert it, for example with iconv") from error
    except OSError as error:
        raise RequestError(f"cannot read {shown}: {error.strerror or error}") from error
    found = [(line, f"line {number} of {shown}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise RequestError(f"{shown} {empty}")
    return found
