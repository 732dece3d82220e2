"""The learning rate as a function of the step alone."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.training.schedule import Schedule, cosine, linear, warmup_stable_decay

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


@pytest.mark.parametrize(
    ("schedule", "theirs"), [(cosine, "get_cosine_schedule_with_warmup"), (linear, "get_linear_schedule_with_warmup")], ids=["cosine", "linear"]
)
@pytest.mark.parametrize("warmup", [0, 7])
def test_after_the_warmup_cosine_and_line_are_those_of_transformers(schedule: Schedule, theirs: str, warmup: int) -> None:
    import torch
    import transformers

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = getattr(transformers, theirs)(optimizer, num_warmup_steps=warmup, num_training_steps=40)
    for step in range(40):
        if step >= warmup:
            assert schedule(step, 40, warmup) == pytest.approx(reference.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        reference.step()


@given(STEPS, st.integers(0, 100), st.floats(0, 1), st.sampled_from([cosine, linear]))
def test_they_rise_to_one_fall_to_their_floor_and_never_rise_again(steps: int, warmup: int, floor: float, schedule: Schedule) -> None:
    factors = [partial(schedule, floor=floor)(step, steps, warmup) for step in range(steps)]  # type: ignore[call-arg]
    assert factors[:warmup] == [(step + 1) / warmup for step in range(min(warmup, steps))]
    assert all(max(floor, 1e-9) - 1e-9 <= factor <= 1 for factor in factors[warmup:])
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(factors[warmup:]))
    assert factors[warmup : warmup + 1] in ([], [1.0])
