"""What the tab says of a run among all others of its model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.runs.pareto import Pareto, Point, with_frontier
from tui.pareto import lines as pareto

KL = pareto.MEASURES[0]


def found(*points: tuple[str, float, float]) -> Pareto:
    made = [Point(f"run-{title}", title, "mixed" if title.startswith("mixed") else "gptq", size, quality, 0.001) for title, size, quality in points]
    return Pareto("bundled:base", "bits_per_weight", "kl_mean", with_frontier(made), None, ("omitted: 1 run",))


SOME = found(("gptq-w3", 4.4, 0.085), ("rtn-w4-channel", 4.6, 0.091), ("mixed-4bit", 4.9, 0.03), ("rtn-w4", 5.3, 0.031), ("rtn-w8", 8.6, 0.001))


def point(title: str) -> Point:
    return next(each for each in SOME.points if each.title == title)


def test_a_run_on_the_frontier_is_set_beside_its_neighbours() -> None:
    assert pareto.explained(SOME, point("mixed-4bit"), KL) == (
        "◆ on the Pareto front: no run is as small and better. gptq-w3 saves 0.50 bits per weight more for KL divergence +0.055 nats. "
        "rtn-w8 takes 3.7 bits per weight more for KL divergence -0.029 nats."
    )


def test_a_beaten_run_is_told_by_what() -> None:
    assert pareto.explained(SOME, point("rtn-w4"), KL) == "· beaten by mixed-4bit: 0.40 bits per weight smaller, as good within noise."
    assert pareto.explained(SOME, point("rtn-w4-channel"), KL).startswith("· beaten by gptq-w3: 0.20 bits per weight smaller")


def test_a_row_without_a_checkpoint_is_hollow_and_beats_nothing() -> None:
    scratch = Point("run-c", "rtn-w4-g128", "rtn", 4.0, 0.0, 0.001, checkpoint=False)
    three = tuple(Point(f"run-{runs}", "gptq-w4", "gptq", 4.5, 0.05 + runs / 1e5, 0.001, runs=runs) for runs in (1, 3))
    everything = Pareto("bundled:base", "bits_per_weight", "kl_mean", with_frontier([scratch, *three]), None, ())
    assert [pareto.cells(each, KL)[:2] for each in everything.points] == [("○", "rtn-w4-g128"), ("◆", "gptq-w4"), ("◆", "gptq-w4 ×3")]
    assert "kept no checkpoint" in pareto.explained(everything, everything.points[0], KL)
    assert "different by noise alone: gptq-w4" in pareto.explained(everything, everything.points[1], KL)
    drawn = {series.label: series for series in pareto.plot(everything, everything.points[1], KL).series}
    assert (drawn["no checkpoint"].x, drawn["no checkpoint"].mark) == ((4.0,), "○")
    assert drawn["frontier ◆"].x == (4.5,)


def test_the_frontier_is_marked_by_sign_and_drawn_as_a_staircase() -> None:
    assert [pareto.cells(each, KL)[0] for each in SOME.points] == ["◆", "·", "◆", "·", "◆"]
    drawn = {series.label: series for series in pareto.plot(SOME, point("rtn-w4"), KL).series}
    assert drawn["frontier ◆"].x == (4.4, 4.9, 4.9, 8.6, 8.6)
    assert drawn["frontier ◆"].y == (0.085, 0.085, 0.03, 0.03, 0.001)
    assert drawn["mixed"].x == (4.9,)
    assert drawn["under the cursor"].x == (5.3,)
    assert set(drawn["one width"].x or ()) == {4.4, 4.6, 8.6}


@given(st.lists(st.tuples(st.floats(0.5, 16), st.floats(0, 10)), min_size=1, max_size=12))
def test_every_point_is_either_on_the_frontier_or_beaten_by_one_that_is(points: list[tuple[float, float]]) -> None:
    everything = found(*((f"run{index}", size, quality) for index, (size, quality) in enumerate(points)))
    for each in everything.points:
        told = pareto.explained(everything, each, KL)
        assert told.startswith("◆ on the Pareto front" if each.on_frontier else "· beaten by")
        assert pareto.plot(everything, each, KL).series
