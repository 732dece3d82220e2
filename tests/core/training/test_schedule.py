"""The learning rate as a function of the step alone."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from core.training.schedule import warmup_stable_decay

STEPS = st.integers(1, 400)
SHARE = st.floats(0, 1)


@given(STEPS, st.integers(0, 100), SHARE)
def test_it_rises_to_one_stays_and_falls_and_is_never_zero(steps: int, warmup: int, decay_from: float) -> None:
    factors = [warmup_stable_decay(step, steps, warmup, decay_from) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    decay = max(int(steps * decay_from), warmup)
    assert all(later > earlier for earlier, later in pairwise(factors[:warmup]))
    assert set(factors[warmup:decay]) <= {1.0}
    assert all(later <= earlier for earlier, later in pairwise(factors[decay:]))


@given(STEPS, st.integers(0, 50), SHARE, st.integers(0, 400))
def test_a_training_can_be_prolonged_until_the_decay_begins(steps: int, warmup: int, decay_from: float, more: int) -> None:
    for step in range(int(steps * decay_from)):
        assert warmup_stable_decay(step, steps, warmup, decay_from) == warmup_stable_decay(step, steps + more, warmup, decay_from)


def test_the_decay_is_a_line_to_zero_behind_the_last_step() -> None:
    assert [warmup_stable_decay(step, 10, 2, 0.5) for step in range(10)] == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2]
