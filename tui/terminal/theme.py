"""Colours that survive 256 and 16 colour terminals."""

from __future__ import annotations

from functools import lru_cache

from rich.color import Color as RichColor
from rich.color import ColorType
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import Theme

from tui.terminal.ssh import Colors


def _theme(name: str, *, dark: bool, primary: str, accent: str, background: str, scrollbar: str, **others: str) -> Theme:
    around = ("scrollbar-background", "scrollbar-background-hover", "scrollbar-background-active", "scrollbar-corner-color")
    variables = {"block-cursor-text-style": "bold", "footer-key-foreground": accent}
    variables |= {"scrollbar": scrollbar, "scrollbar-hover": "#767676", "scrollbar-active": primary} | dict.fromkeys(around, background)
    return Theme(name, dark=dark, primary=primary, accent=accent, background=background, variables=variables, **others)  # type: ignore[arg-type]


# Every colour of the two themes is one of the xterm-256 palette, so that 256 colours lose nothing.
DARK = _theme(
    "llmopt-dark",
    dark=True,
    primary="#5fafd7",
    secondary="#87afaf",
    accent="#ffaf5f",
    warning="#ffd75f",
    error="#ff5f5f",
    success="#87d787",
    foreground="#d0d0d0",
    background="#121212",
    surface="#1c1c1c",
    panel="#262626",
    boost="#303030",
    scrollbar="#4e4e4e",
)
LIGHT = _theme(
    "llmopt-light",
    dark=False,
    primary="#005f87",
    secondary="#5f5f87",
    accent="#870087",
    warning="#5f5f00",
    error="#af0000",
    success="#005f00",
    foreground="#262626",
    background="#eeeeee",
    surface="#e4e4e4",
    panel="#dadada",
    boost="#d0d0d0",
    scrollbar="#a8a8a8",
)
THEMES = (DARK, LIGHT)


def default_theme(colors: Colors) -> str:
    """The theme for a terminal for which none was chosen."""
    return DARK.name if colors in {"truecolor", "256"} else "ansi-dark"


class PaletteFilter(LineFilter):
    """Map every colour to the nearest of xterm's 256, dark shades included, and keep text apart from its background.

    Rich rounds a dark blue or green to black, so that whole themes collapse into one shade; the nearest entry
    by distance is usually one of the 24 greys instead.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        return [segment if segment.style is None else Segment(segment.text, _to_palette(segment.style), segment.control) for segment in segments]


@lru_cache(4096)
def _to_palette(style: Style) -> Style:
    color, background = _nearest(style.color), _nearest(style.bgcolor)
    if color is not None and color == background and style.color != style.bgcolor:
        color = RichColor.from_ansi(231 if _is_dark(background) else 16)
    return style + Style.from_color(color, background)


def _nearest(color: RichColor | None) -> RichColor | None:
    if color is None or color.type is not ColorType.TRUECOLOR or color.triplet is None:
        return color
    return RichColor.from_ansi(nearest(color.triplet.red, color.triplet.green, color.triplet.blue))


@lru_cache(4096)
def nearest(red: int, green: int, blue: int) -> int:
    """Number (16 to 255) of the palette entry nearest to a colour, by the "redmean" approximation of perceived distance."""
    return min(_PALETTE, key=lambda number: _distance((red, green, blue), _PALETTE[number]))


def _distance(a: tuple[int, int, int], b: tuple[int, int, int]) -> float:
    mean_red = (a[0] + b[0]) / 2
    red, green, blue = a[0] - b[0], a[1] - b[1], a[2] - b[2]
    return (2 + mean_red / 256) * red * red + 4 * green * green + (2 + (255 - mean_red) / 256) * blue * blue


def _is_dark(color: RichColor | None) -> bool:
    if color is None or color.number is None:
        return True
    red, green, blue = _PALETTE.get(color.number, (0, 0, 0))
    return 0.299 * red + 0.587 * green + 0.114 * blue < 128


def _palette() -> dict[int, tuple[int, int, int]]:
    levels = (0, 95, 135, 175, 215, 255)
    cube = {16 + 36 * r + 6 * g + b: (levels[r], levels[g], levels[b]) for r in range(6) for g in range(6) for b in range(6)}
    greys = {232 + step: (8 + 10 * step,) * 3 for step in range(24)}
    return {**cube, **greys}


_PALETTE = _palette()
