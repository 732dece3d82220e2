import io
import math
import sys
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.widgets.chart.marks import SERIES
from tui.widgets.chart.picture import draw, plain
from tui.widgets.chart.plot import Plot, Series

ANY_NUMBER = st.floats(allow_nan=True, allow_infinity=True)
KINDS = st.sampled_from(["line", "scatter", "hist", "column", "bar"])


LIMITS = st.none() | st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)).map(lambda ends: (min(ends), max(ends)))


def plots(values):
    return st.builds(
        lambda kind, rows, title, log_x, log_y, stacked, x_limits, y_limits: Plot(
            kind,
            tuple(Series.histogram(row, 7, f"s{i}") if kind == "hist" else Series.of(row, label=f"s{i}") for i, row in enumerate(rows)),
            title=title,
            categories=tuple(f"c{i}" for i in range(max(map(len, rows), default=0))) if kind in ("bar", "column") else (),
            log_x=log_x,
            log_y=log_y,
            stacked=stacked,
            x_label="x",
            y_label="y",
            x_limits=x_limits,
            y_limits=y_limits,
        ),
        KINDS,
        st.lists(st.lists(values, max_size=12), max_size=4),
        st.text(max_size=10),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        LIMITS,
        LIMITS,
    )


@settings(max_examples=300, deadline=None)
@given(plots(ANY_NUMBER), st.integers(0, 70), st.integers(0, 20))
def test_whatever_the_numbers_the_picture_fits_and_holds_no_escape_codes(plot, width, height):
    picture = draw(plot, width, height)
    assert len(picture) <= height
    for line in picture:
        text = "".join(part for part, _ in line)
        assert cell_len(text) <= width
        assert "\x1b" not in text
    assert "could not be drawn" not in plain(picture)


def test_nothing_reaches_stdout_or_stderr(capfd):
    draw(Plot("line", (Series.of([1e16, 1e16 + 2, 1e16 + 4]), Series.of([3, 3, 3]))), 60, 12)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert isinstance(sys.stdout, io.TextIOBase)


def test_a_rising_line_rises_from_the_lower_left_to_the_upper_right():
    rows = plain(draw(Plot("line", (Series.of(range(50)),)), 60, 16)).split("\n")
    columns = [[i for i, c in enumerate(row) if "\u2800" < c <= "\u28ff"] for row in rows]
    spans = [(min(c), max(c)) for c in columns if c]
    assert len(spans) > 10
    assert all(above[0] >= below[0] for above, below in pairwise(spans))
    assert spans[0][1] > 55
    assert spans[-1][0] < 8


def test_the_gap_of_a_missing_value_is_not_bridged_and_is_counted():
    values = [1.0] * 20 + [math.nan] * 20 + [1.0] * 20
    text = plain(draw(Plot("line", (Series.of(values),), title="t"), 60, 8))
    assert "20 not finite" in text
    drawn = next(row for row in text.split("\n") if "⠤⠤⠤" in row)
    assert "   " in drawn.strip().split("┤")[-1].strip()


@pytest.mark.parametrize("kind", ["line", "scatter"])
def test_series_differ_in_shape_as_well_as_in_role(kind):
    plot = Plot(kind, tuple(Series.of([k, k], label=name) for k, name in ((1, "gptq"), (2, "rtn"), (3, "awq"))))
    picture = draw(plot, 60, 12)
    drawn: dict[Any, Any] = {}
    for line in picture[1:]:
        for text, role in line:
            if role >= SERIES:
                drawn.setdefault(role, set()).update(text.strip())
    assert len(drawn) == 3
    shapes = list(drawn.values())
    assert not shapes[0] & shapes[1]
    assert not shapes[1] & shapes[2]
    legend = "".join(text for text, _ in picture[0])
    assert "• rtn" in legend
    assert "× awq" in legend


def test_thousands_of_points_keep_their_extremes():
    values = [0.0] * 10000
    values[7777] = 100.0
    text = plain(draw(Plot("line", (Series.of(values),)), 60, 12))
    assert any("\u2800" < c <= "\u28ff" for c in text.split("\n")[0])


def test_bars_are_exact_to_an_eighth_of_a_cell_and_carry_their_value():
    plot = Plot("bar", (Series.of([8, 4, 0.5, math.nan]),), categories=("bf16", "int8", "int4", "gone"), y_unit="GB")
    rows = plain(draw(plot, 40, 6)).split("\n")
    lengths = [row.count("█") + sum(" ▏▎▍▌▋▊▉".index(c) / 8 for c in row if c in "▏▎▍▌▋▊▉") for row in rows]
    assert lengths[1] == pytest.approx(lengths[0] / 2, abs=1 / 8)
    assert lengths[2] == pytest.approx(lengths[0] / 16, abs=1 / 8)
    assert rows[0].endswith(" 8 GB")
    assert rows[2].endswith("0.5 GB")
    assert rows[3].endswith("n/a")


def test_stacked_bars_keep_the_length_of_the_whole():
    plot = Plot("bar", (Series.of([3, 6], label="weights"), Series.of([3, 6], label="cache")), categories=("a", "b"), stacked=True)
    rows = plain(draw(plot, 60, 6)).split("\n")[1:]
    assert rows[0].count("█") == pytest.approx(rows[0].count("▒"), abs=1)
    assert rows[1].count("█") + rows[1].count("▒") == pytest.approx(2 * (rows[0].count("█") + rows[0].count("▒")), abs=1)


def test_bars_that_do_not_fit_are_counted():
    plot = Plot("bar", (Series.of(range(1, 11)),), categories=tuple("abcdefghij"))
    assert plain(draw(plot, 40, 5)).endswith("and 6 more")


def test_a_histogram_counts_every_finite_value_once():
    series = Series.histogram([0, 0.1, 0.9, 1.0, math.nan, math.inf], bins=2)
    assert series.y == (2, 2)
    assert series.x == (0, 0.5, 1)


def test_stacked_columns_that_cancel_out_stay_on_the_picture():
    plot = Plot("column", (Series.of([1e10]), Series.of([-1e10])), categories=("a",), stacked=True)
    assert "cannot" not in plain(draw(plot, 40, 12))


def test_a_narrow_window_on_wide_data_is_drawn_at_once():
    plot = Plot("line", (Series.of([0, 1e15, -1e15, 0]),), y_limits=(0, 1), x_limits=(0, 1e-6))
    assert "cannot" not in plain(draw(plot, 40, 12))


def test_columns_on_a_logarithmic_axis_rise_from_its_foot():
    rows = plain(draw(Plot("column", (Series.of([0.001, 1, 1000]),), categories=("a", "b", "c"), log_y=True), 50, 20)).split("\n")
    middle = [rows[-1].index(name) for name in "abc"]
    heights = [sum(row[column] in "█▀▄" for row in rows if column < len(row)) for column in middle]
    assert 0 < heights[0] < heights[1] < heights[2]


def test_columns_stand_in_the_ratio_of_their_values():
    plot = Plot("column", (Series.of([10, 5]),), categories=("a", "b"), y_limits=(0, 10))
    rows = plain(draw(plot, 40, 20)).split("\n")
    middle = len(rows[-1]) and [rows[-1].index("a"), rows[-1].index("b")]
    heights = [sum(row[column] in "█▀▄" for row in rows if column < len(row)) for column in middle]
    assert heights[0] / heights[1] == pytest.approx(2, abs=0.25)


@pytest.mark.parametrize(("width", "height"), [(23, 10), (60, 5), (14, 2)])
def test_small_places_get_words(width, height):
    plot = Plot("line", (Series.of([1, 3, 2], label="loss"),), title="Loss", y_unit="nats")
    text = plain(draw(plot, width, height))
    assert text.startswith("Loss")
    assert "loss: last 2"[: width - 1] in text


def test_no_value_at_all_says_why():
    assert "no layer is done" in plain(draw(Plot("line", (Series(()),), empty="no layer is done"), 60, 12))
    assert "nothing measured yet" in plain(draw(Plot("bar", (), categories=()), 60, 12))


def test_names_from_outside_cannot_disturb_the_terminal():
    plot = Plot("bar", (Series.of([1], label="\x1b[2J"),), categories=("\x1b]0;x\x07",), title="\x1b[31m[bold]")
    text = plain(draw(plot, 40, 5))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]" in text
