"""Linears by block, and the tab that a result belongs to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.runs.registry import CAPABILITIES
from tui.compression.linears import NAMES, block_of, by_place, grid, place_of, short
from tui.shell.panes import PANES, tab_of
from tui.widgets.live import line_width


@pytest.mark.parametrize(
    ("name", "block", "place", "said"),
    [
        ("model.layers.12.self_attn.q_proj", 12, ("q_proj", 12), "12 self_attn.q_proj"),
        ("h.0.mlp.experts.5.up", 0, ("up", 0), "0 mlp.experts.5.up"),
        ("lm_head", None, None, "lm_head"),
        ("3.\x1b[2Jq", 3, ("�[2Jq", 3), "3 �[2Jq"),
    ],
)
def test_a_name_says_where_a_linear_is(name: str, block: int | None, place: tuple[str, int] | None, said: str) -> None:
    assert block_of(name) == block
    assert place_of(name) == place
    assert short(name) == said


def test_experts_share_a_place_with_their_mean() -> None:
    names = [(f"model.layers.1.mlp.experts.{expert}.up", 0.1 * expert) for expert in range(3)]
    assert by_place([*names, ("model.layers.0.q", None), ("lm_head", 1.0)]) == {("up", 1): pytest.approx(0.1)}


@given(st.lists(st.integers(0, 400), min_size=1, unique=True).map(sorted), st.integers(1, 6), st.integers(20, 140))
def test_every_place_is_drawn_once_within_the_width(blocks: list[int], cell_width: int, width: int) -> None:
    drawn: list[tuple[str, int]] = []

    def cell(place: tuple[str, int]) -> tuple[str, str]:
        drawn.append(place)
        return "x" * cell_width, ""

    lines = grid(("q", "a much longer name than fits"), blocks, cell, width, cell_width=cell_width)  # type: ignore[arg-type]
    assert sorted(drawn) == sorted((kind, block) for kind in ("q", "a much longer name than fits") for block in blocks)
    assert all(line_width(line) <= max(width, NAMES + max(10, cell_width)) for line in lines if line[0][1] == "")


def test_numbers_stand_above_their_cells() -> None:
    lines = grid(("q",), range(12), lambda place: (f"{place[1]:>3} ", ""), 80, cell_width=4)
    ruler, row = ("".join(text for text, _ in line).rstrip() for line in lines)
    assert ruler[NAMES:] == row[NAMES:]
    narrow = grid(("q",), range(22), lambda _: ("x", ""), 80)
    assert narrow[0][0][0][NAMES:] == "0         10        20"


def test_every_run_that_leaves_a_checkpoint_has_a_tab() -> None:
    tabs = {key: tab.id for key in CAPABILITIES if (tab := tab_of(key)) is not None}
    assert tabs["quantize-compare"] == tabs["quantize"] == "quantize"
    assert tabs["prune"] == "prune"
    assert {key for key, entry in CAPABILITIES.items() if entry.pareto} <= set(tabs)
    assert set(tabs.values()) <= {pane.id for pane in PANES}
    assert tab_of("verify") is None
