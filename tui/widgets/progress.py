"""A progress bar as text: drawn only when it changed, no animation."""

from __future__ import annotations

from textual.content import Content

EIGHTHS = " ▏▎▍▌▋▊▉"
"""Blocks from nothing to seven eighths of a cell."""


def bar(fraction: float, width: int) -> Content:
    """`width` cells, filled to an eighth of a cell; the rest is a thin line so that the bar shows without colours too."""
    eighths = round(min(max(fraction, 0.0), 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    filled = "█" * whole + (EIGHTHS[rest] if rest else "")
    return Content.assemble((filled, "$primary"), ("─" * (width - len(filled)), "dim"))
