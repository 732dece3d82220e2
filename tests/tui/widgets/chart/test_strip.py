import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.chart.strip import columns, history, meter

SHARES = st.floats(-50, 150)


@given(st.none() | SHARES, st.integers(0, 40))
def test_a_meter_is_exactly_as_wide_as_asked(share, width):
    assert len(meter(share, width)) == width


@pytest.mark.parametrize(
    ("share", "drawn"), [(0, "    "), (50, "██  "), (100, "████"), (120, "████"), (-3, "    "), (3.2, "▏   "), (37.5, "█▌  "), (None, "····")]
)
def test_a_meter_is_exact_to_an_eighth_of_a_cell(share, drawn):
    assert meter(share, 4) == drawn


def dots(cell):
    """Heights of the two columns of a braille cell."""
    code = 0 if cell == " " else ord(cell) - 0x2800
    return sum(bool(code & bit) for bit in (0x40, 0x04, 0x02, 0x01)), sum(bool(code & bit) for bit in (0x80, 0x20, 0x10, 0x08))


@given(st.lists(st.none() | SHARES, max_size=60), st.integers(0, 20))
def test_a_history_shows_the_newest_values_right_and_leaves_gaps_where_there_is_none(values, width):
    drawn = history(values, width)
    assert len(drawn) == width
    heights = [height for cell in drawn for height in dots(cell)]
    newest = values[-2 * width :] if width else []
    assert heights[: 2 * width - len(newest)] == [0] * (2 * width - len(newest))
    for value, height in zip(newest, heights[2 * width - len(newest) :], strict=True):
        assert (height == 0) == (value is None)
        if value is not None:
            assert abs(height - min(max(value / 25, 1), 4)) <= 0.5


def test_a_history_is_to_the_scale_it_is_given():
    assert dots(history([350.0, 700.0], 1, top=700.0)) == (2, 4)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300), st.integers(1, 60))
def test_columns_never_exceed_their_room_and_show_every_core_they_can(shares, width):
    drawn = columns(shares, width)
    assert len(drawn) == min(len(shares), width)
    assert set(drawn) <= set("▁▂▃▄▅▆▇█")


def test_columns_average_neighbours_where_there_are_too_many():
    assert columns([0, 100, 100, 100], 2) == "▄█"
