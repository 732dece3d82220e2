"""The factor of a damped Hessian against float64 inverses, with dead inputs and Hessians that need more damping."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.calibration.cholesky import NotPositiveDefinite, factorize
from core.errors import RunFailed

COLUMNS = 48


def hessian_of(rows: int = 200, seed: int = 0) -> Tensor:
    inputs = torch.randn(rows, COLUMNS, generator=torch.Generator().manual_seed(seed)) * torch.linspace(0.5, 2, COLUMNS)
    return 2 / rows * inputs.t() @ inputs


@pytest.mark.parametrize("by_diagonal", [False, True])
def test_its_inverse_is_the_upper_factor_of_the_inverse_hessian(by_diagonal: bool) -> None:
    hessian = hessian_of()
    factor = factorize(hessian, by_diagonal=by_diagonal)
    damped = hessian.double() + 0.01 * hessian.diagonal().double().mean() * torch.eye(COLUMNS, dtype=torch.float64)
    if by_diagonal:
        assert factor.order is not None
        assert hessian.diagonal()[factor.order].diff().le(0).all()
        damped = damped[factor.order][:, factor.order]
    expected = torch.linalg.cholesky(torch.linalg.inv(damped), upper=True)
    torch.testing.assert_close(factor.inverse_block(0, COLUMNS).double(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(factor.inverse_block(16, 40).double(), expected[16:40, 16:40], rtol=1e-4, atol=1e-5)


def test_dead_inputs_are_named_and_leave_the_others_alone() -> None:
    whole = hessian_of()
    hessian = whole.clone()
    hessian[7], hessian[:, 7] = 0, 0
    factor = factorize(hessian)
    assert factor.dead.nonzero().flatten().tolist() == [7]
    assert torch.isfinite(factor.inverse_block(0, COLUMNS)).all()
    assert hessian[7, 7] == 0, "the caller's Hessian is left unchanged"


def test_damping_rises_in_steps_of_ten_until_it_helps_or_is_given_up() -> None:
    hessian = hessian_of()
    hessian -= 0.05 * hessian.diagonal().mean() * torch.eye(COLUMNS) + torch.linalg.eigvalsh(hessian)[0] * torch.eye(COLUMNS)
    factor = factorize(hessian, damp=0.001)
    assert factor.damp == pytest.approx(0.1)
    assert factor.notes == ("the Hessian was not positive definite: damping was raised from 0.001 to 0.1 of its mean diagonal",)
    with pytest.raises(NotPositiveDefinite, match=r"even with damping 0\.001: calibrate on more tokens, or use a method without calibration"):
        factorize(hessian, damp=1e-6)


def test_a_hessian_with_nan_is_refused() -> None:
    hessian = hessian_of()
    hessian[3, 3] = torch.nan
    with pytest.raises(RunFailed, match="NaN or Inf"):
        factorize(hessian)
