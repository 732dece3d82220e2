"""The share of the gap that was closed, and how sure it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from core.distill.measure.gap import gap_closed


def three(seed: int, tokens: int = 4000) -> tuple[Tensor, Tensor, Tensor]:
    draw = np.random.default_rng(seed)
    shared = draw.normal(3, 1, tokens)
    teacher, untrained, trained = (torch.from_numpy(shared + draw.normal(mean, 0.4, tokens)) for mean in (0.0, 0.8, 0.2))
    return teacher, untrained, trained


def test_ends_of_the_scale() -> None:
    teacher, untrained, _ = three(0)
    for trained, closed in ((teacher, 1.0), (untrained, 0.0)):
        found = gap_closed(teacher, untrained, trained)
        assert found is not None
        assert found.closed == pytest.approx(closed, abs=1e-12)
        assert found.error == pytest.approx(0, abs=1e-12)


def test_it_is_that_of_ln_perplexities() -> None:
    teacher, untrained, trained = three(1)
    found = gap_closed(teacher, untrained, trained)
    assert found is not None
    teacher_ppl, untrained_ppl, trained_ppl = (float(each.mean().exp()) for each in (teacher, untrained, trained))
    assert found.closed == pytest.approx(np.log(untrained_ppl / trained_ppl) / np.log(untrained_ppl / teacher_ppl), rel=1e-12)


def test_worse_than_before_is_below_zero() -> None:
    teacher, untrained, _ = three(2)
    found = gap_closed(teacher, untrained, untrained + 0.4)
    assert found is not None
    assert found.closed < 0


def test_there_is_no_gap_to_a_teacher_that_is_no_better() -> None:
    teacher, untrained, trained = three(3)
    assert gap_closed(untrained, teacher, trained) is None


def test_the_standard_error_is_that_of_repeated_draws() -> None:
    found = [gap_closed(*three(seed)) for seed in range(200)]
    closed, errors = [gap.closed for gap in found if gap], [gap.error for gap in found if gap]
    assert np.mean(errors) == pytest.approx(np.std(closed, ddof=1), rel=0.15)
