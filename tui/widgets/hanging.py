"""Names on the left, their texts wrapped next to them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from textual.content import Content


def hanging(rows: Sequence[tuple[str, str]], width: int) -> Content:
    """One name a line, dimmed; a text that is too long continues under itself, not under its name."""
    indent = max((len(name) for name, _ in rows), default=0) + 2
    lines: list[Content] = []
    for name, text in rows:
        parts = textwrap.wrap(text, max(width - indent, 8), break_on_hyphens=False) or [""]
        lines.append(Content.assemble((name.ljust(indent), "dim"), parts[0]))
        lines.extend(Content(" " * indent + part) for part in parts[1:])
    return Content("\n").join(lines)
