"""Every distribution of sparsity keeps the total, and each sparsity stays in range."""

from __future__ import annotations

from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.prune.allocate.atp import largest_step
from core.prune.allocate.atp import wanted as rising
from core.prune.allocate.blocks import by_linear, weights_of
from core.prune.allocate.owl import wanted as by_outliers
from core.prune.allocate.sensitivity import assigned
from core.prune.allocate.totals import LARGEST, shifted_to

totals = st.floats(0.02, 0.97)


@given(totals, st.lists(st.tuples(st.floats(-2, 2), st.integers(1, 10**9)), min_size=1, max_size=40))
def test_one_shift_reaches_the_total_whatever_is_wanted(total: float, blocks: list[tuple[float, int]]) -> None:
    wanted, weights = [share for share, _ in blocks], [weight for _, weight in blocks]
    found = shifted_to(total, wanted, weights)
    assert sum(share * weight for share, weight in zip(found, weights, strict=True)) == pytest.approx(total * sum(weights), rel=1e-8)
    assert all(0 <= share <= LARGEST for share in found)


@given(
    st.lists(st.floats(0, 0.95), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(1, 40), st.integers(2, 60)), min_size=1, max_size=5),
    st.sampled_from(["row", "matrix"]),
)
def test_whole_counts_add_up_to_the_total(shares: list[float], shapes: list[tuple[int, int]], scope: str) -> None:
    linears = [{f"{block}.{place}": shape for place, shape in enumerate(shapes)} for block in range(len(shares))]
    found = by_linear(shares, linears, scope)  # type: ignore[arg-type]
    removed, aim = 0, sum(share * weight for share, weight in zip(shares, weights_of(linears), strict=True))
    coarsest = max(rows for rows, _ in shapes) if scope == "row" else 1
    for of_block in linears:
        for name, (rows, columns) in of_block.items():
            size, times = (columns, rows) if scope == "row" else (rows * columns, 1)
            removed += floor(size * found[name] + 1e-9) * times
    room = sum(rows for rows, _ in shapes) * len(shares)  # rows from which no more can go
    assert abs(removed - aim) <= max(coarsest, room if max(shares) > 0.5 else 0)


def test_owl_prunes_blocks_with_outliers_less() -> None:
    found = by_outliers([0.0, 0.01, 0.05], 0.7, 0.08)
    assert found[0] > found[1] > found[2]
    assert max(found) - min(found) == pytest.approx(0.16)
    assert sum(found) / 3 == pytest.approx(0.7)


def test_owl_without_differences_is_uniform() -> None:
    assert by_outliers([0.02] * 4, 0.6, 0.08) == [0.6] * 4


def test_atp_rises_by_its_step_around_the_total() -> None:
    assert rising(0.1, 0.5, 3) == pytest.approx([0.4, 0.5, 0.6])
    edge = rising(largest_step(0.7, 5), 0.7, 5)
    assert max(edge) == pytest.approx(LARGEST)
    assert min(edge) >= 0


def test_the_assignment_takes_from_the_blocks_that_mind_least() -> None:
    costs = [(0.9, 1.3), (0.99, 1.01), (0.8, 1.5)]
    found = assigned(costs, 1.0, 0.5, 0.1, [100, 200, 100])
    assert found[1] > 0.5
    assert found[0] < 0.5
    assert found[2] <= found[0]
    assert sum(share * weight for share, weight in zip(found, [100, 200, 100], strict=True)) == pytest.approx(0.5 * 400)


@given(totals, st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3), st.integers(1, 10**6)), min_size=2, max_size=12))
def test_the_assignment_keeps_the_total(total: float, blocks: list[tuple[float, float, int]]) -> None:
    reach = min(0.12, total / 2, (LARGEST - total) / 2)
    found = assigned([(lower, higher) for lower, higher, _ in blocks], 1.0, total, reach, [weight for *_, weight in blocks])
    weights = [weight for *_, weight in blocks]
    assert sum(share * weight for share, weight in zip(found, weights, strict=True)) == pytest.approx(total * sum(weights), rel=1e-8)
