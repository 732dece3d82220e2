"""Colours: nothing collapses on 256 colours, text stays apart from its background."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color

from tui.terminal import theme

CHANNEL = st.integers(0, 255)
FIELDS = ("primary", "secondary", "accent", "warning", "error", "success", "foreground", "background", "surface", "panel", "boost")


@pytest.mark.parametrize("name", ["DARK", "LIGHT"])
@pytest.mark.parametrize("field", FIELDS)
def test_our_themes_are_made_of_the_palette(name: str, field: str) -> None:
    wanted = Color.parse(getattr(getattr(theme, name), field))
    shown = theme._PALETTE[theme.nearest(*wanted.rgb)]
    assert shown == wanted.rgb


def luminance(color: str) -> float:
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def wcag_contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("name", ["DARK", "LIGHT"])
def test_text_and_signals_can_be_read_on_every_ground(name: str) -> None:
    chosen = getattr(theme, name)
    for ground in ("background", "surface", "panel"):
        for ink in ("foreground", "primary", "accent", "warning", "error", "success"):
            contrast = wcag_contrast(getattr(chosen, ink), getattr(chosen, ground))
            assert contrast >= 4.5, f"{ink} on {ground}: {contrast:.2f}"


@given(CHANNEL, CHANNEL, CHANNEL)
def test_nearest_is_never_further_than_what_rich_would_take(red: int, green: int, blue: int) -> None:
    from rich.color import ColorSystem

    rich = RichColor.from_rgb(red, green, blue).downgrade(ColorSystem.EIGHT_BIT).number
    ours = theme.nearest(red, green, blue)
    assert rich is not None
    if rich < 16:
        return
    assert theme._distance((red, green, blue), theme._PALETTE[ours]) <= theme._distance((red, green, blue), theme._PALETTE[rich])


def test_dark_shades_of_a_blue_theme_stay_apart() -> None:
    shades = [(13, 17, 33), (22, 27, 54), (33, 40, 75)]
    assert len({theme.nearest(*shade) for shade in shades}) == 3


def test_text_never_vanishes_into_its_background() -> None:
    near = Style(color=RichColor.from_rgb(20, 20, 20), bgcolor=RichColor.from_rgb(19, 19, 19))
    (segment,) = theme.PaletteFilter().apply([Segment("text", near)], Color(0, 0, 0))
    assert segment.style is not None
    assert segment.style.color != segment.style.bgcolor
    assert segment.text == "text"


def test_every_colour_depth_has_a_theme() -> None:
    from textual.app import App

    known = set(App().available_themes) | {each.name for each in theme.THEMES}
    assert {theme.default_theme(colors) for colors in ("truecolor", "256", "16", "none")} <= known
