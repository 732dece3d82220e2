"""Styles of component classes as rich needs them, with transparent and automatic colours resolved."""

from __future__ import annotations

from rich.style import Style
from textual.widget import Widget


def ink(widget: Widget, component: str) -> Style:
    """Colour and weight of the text of a component class, for painting over any background."""
    style = widget.get_visual_style(component).rich_style
    return Style(color=style.color, bold=style.bold or None)


def paper(widget: Widget, component: str) -> Style:
    """Background and weight of a component class, for putting under text that has its own colours."""
    style = widget.get_visual_style(component).rich_style
    return Style(bgcolor=style.bgcolor, bold=style.bold or None)
