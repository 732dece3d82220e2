"""What the command line prints: aligned tables and JSON documents on stdout, narration on stderr."""

from __future__ import annotations

import itertools
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import Any

from core import __version__
from core.runs.state.files import dumps
from core.sanitize import clean

_GAP = "  "
_NARROWEST = 10


def print_document(kind: str, body: dict[str, Any], *, indent: int | None = 2) -> None:
    """One JSON document that begins with its schema."""
    head = {"schema": f"llmopt.{kind}/1", "llmopt_version": __version__}
    ascii_only = "utf" not in (sys.stdout.encoding or "").lower()
    print(dumps(head | {key: value for key, value in body.items() if key not in head}, indent=indent, ascii_only=ascii_only))


def narrate(text: str) -> None:
    """A line for the user, on stderr."""
    print(clean(text), file=sys.stderr, flush=True)


def print_table(rows: Sequence[Sequence[str]], headers: Sequence[str] = (), *, right: Sequence[int] = (), shrink: Sequence[int] = (0,)) -> None:
    """Columns padded to their widest cell, within the terminal's width, or 80 columns where there is none.

    Args:
        rows: cells; made safe here.
        headers: first line, or none.
        right: indices of the columns that stand to the right, numbers for example.
        shrink: the columns that are cut when the table is too wide, the first of them first.
    """
    print(table(rows, headers, right=right, shrink=shrink, width=terminal_width()))


def table(rows: Sequence[Sequence[str]], headers: Sequence[str], *, right: Sequence[int], shrink: Sequence[int], width: int) -> str:
    """As `print_table`, returned."""
    cells = [[clean(cell) for cell in row] for row in ([list(headers)] if headers else []) + [list(row) for row in rows]]
    if not cells:
        return ""
    widths = [max(columns(row[index]) for row in cells) for index in range(len(cells[0]))]
    for index in shrink:
        excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
        if excess > 0:
            widths[index] = min(widths[index], max(widths[index] - excess, _NARROWEST))
    return "\n".join(_GAP.join(_fit(cell, widths[index], index in right) for index, cell in enumerate(row)).rstrip() for row in cells)


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Names and values; a long value is continued below itself, paths and ids stay whole."""
    if not facts:
        return
    left = max(columns(clean(name)) for name, _ in facts)
    for name, value in facts:
        lines = textwrap.wrap(clean(value), max(terminal_width() - left - len(_GAP), 20), break_long_words=False, break_on_hyphens=False) or [""]
        print(f"{_fit(clean(name), left, False)}{_GAP}{lines[0]}".rstrip())
        for line in lines[1:]:
            print(" " * (left + len(_GAP)) + line)


def print_verbatim(text: str) -> None:
    """A text to be copied: safe, and never cut or wrapped."""
    print(clean(text, multiline=True))


def terminal_width() -> int:
    """Columns of the terminal, or 80."""
    return shutil.get_terminal_size((80, 24)).columns


def columns(text: str) -> int:
    """Cells that a text takes in a terminal."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else not unicodedata.combining(character) for character in text)


def cut(text: str, width: int, ending: str = "…") -> str:
    """The beginning of a text that takes at most `width` cells; one that was cut has an ending."""
    if columns(text) <= width:
        return text
    ends = itertools.accumulate(map(columns, text))
    return text[: sum(1 for _ in itertools.takewhile(lambda end: end <= width - columns(ending), ends))] + ending


def _fit(text: str, width: int, right: bool) -> str:
    text = cut(text, width)
    padding = " " * (width - columns(text))
    return padding + text if right else text + padding
