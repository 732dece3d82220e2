"""Lines of a UTF-8 file with their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with something in them, counted from 1; a byte order mark is left out. Raises OSError; UnicodeDecodeError: one is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            if text.strip():
                yield number, text
