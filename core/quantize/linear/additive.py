"""Additive codebooks: learn a few vectors a linear, store which of them to add.

Source: AQLM, arXiv 2401.06118. Codebooks begin as k-means of residuals; then codes (beam search) and codebooks and scales (least squares)
are improved in turn on the calibration objective tr(E H Eᵀ) until the gain is small. The paper's code search begins from the codes of the
round before and its codebook step is Adam; here the search also runs from left to right with error feedback, and the step, whose
objective is quadratic, is solved by conjugate gradients.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from core.calibration.cholesky import NotPositiveDefinite, factorize
from core.calibration.statistics import InputStatistics
from core.errors import RunFailed
from core.formats.layouts.aqlm import Aqlm
from core.numerics.additive import AdditiveTensor
from core.numerics.products import product_nt
from core.quantize.linear.additive_codebooks import fit_codebooks, fit_scales, initial_scales, residual_kmeans
from core.quantize.linear.additive_codes import Objective, beam_search, sweep, weight_of
from core.quantize.linear.solver import LinearSolver
from core.quantize.plan.additive_shape import CodebookShape, shape_of
from core.quantize.spec import QuantizeSpec

_CG_STEPS = 40


@dataclass(frozen=True)
class AdditiveConfig:
    """The settings of `quantize`."""

    shape: CodebookShape
    beam: int = 8
    rounds: int = 4
    gain: float = 3e-3
    """Rounds end when one lowers the objective by less than this share."""
    seconds: float = 900.0
    """No round is begun after this time."""
    damp: float = 0.01
    seed: int = 0
    dtype: torch.dtype = torch.bfloat16
    """Of codebooks and scales in the file."""


@dataclass
class _State:
    """An encoding: codes int64 [R, n, K], codebooks float32 [K, C, out_group, in_group], scales float32 [R] and its loss a row [R]."""

    objective: Objective
    codes: Tensor
    codebooks: Tensor
    scales: Tensor
    losses: Tensor

    @property
    def loss(self) -> float:
        """tr(E H Eᵀ)."""
        return float(self.losses.sum(dtype=torch.float64))

    def take_codes(self, codes: Tensor) -> None:
        """Keep, row by row, the better of two sets of codes."""
        losses = self.objective.losses(weight_of(codes, self.codebooks, self.scales))
        better = losses < self.losses
        self.codes = torch.where(better.view(-1, 1, 1), codes, self.codes)
        self.losses = torch.where(better, losses, self.losses)

    def take_vectors(self, codebooks: Tensor, scales: Tensor, *, always: bool = False) -> None:
        """Replace codebooks and scales if that lowers the loss."""
        losses = self.objective.losses(weight_of(self.codes, codebooks, scales))
        if always or float(losses.sum(dtype=torch.float64)) < self.loss:
            self.codebooks, self.scales, self.losses = codebooks, scales, losses


def quantize(weight: Tensor, statistics: InputStatistics | None, config: AdditiveConfig) -> AdditiveTensor:
    """Encode one weight [out, in] by the statistics of its input; by the weights' own error, with a note, where there is none or it is unfit.

    Raises:
        RunFailed: the weight or the Hessian holds NaN or infinity, or tiles do not divide the weight.
    """
    if statistics is None:
        return _blind(weight, config, "the calibration text never reached it: codes were chosen by weight error instead")
    try:
        factor = statistics.once(("gptq", config.damp, False), lambda: factorize(statistics.hessian, damp=config.damp, alternative="rtn"))
    except NotPositiveDefinite as error:
        return _blind(weight, config, f"{error}; codes were chosen by weight error instead")
    upper = factor.upper.triu()
    return additive(weight, product_nt(upper, upper), upper, config, notes=factor.notes)


def _blind(weight: Tensor, config: AdditiveConfig, note: str) -> AdditiveTensor:
    identity = torch.eye(weight.shape[1], device=weight.device)
    return additive(weight, identity, identity, config, notes=(note,))


def additive(weight: Tensor, hessian: Tensor, upper: Tensor, config: AdditiveConfig, *, notes: tuple[str, ...] = ()) -> AdditiveTensor:
    """Encode one weight.

    Args:
        weight: [out, in].
        hessian: float32 [in, in], positive definite.
        upper: float32 [in, in], upper triangular U with U Uᵀ = the Hessian.
        config: shape of the codebooks and bounds of the search.
        notes: to be carried along.

    Raises:
        RunFailed: the weight holds NaN or infinity, or tiles do not divide it.
    """
    rows, columns = weight.shape
    shape = config.shape
    if not shape.fits(rows, columns):
        raise RunFailed(f"tiles of {shape.out_group} x {shape.in_group} do not divide a weight of {rows} x {columns}: choose a smaller vector")
    if not bool(torch.isfinite(weight).all()):
        raise RunFailed("the weight contains NaN or Inf: the checkpoint is damaged, fetch it again")
    tiles = weight.to(torch.float32).reshape(rows // shape.out_group, shape.out_group, columns)
    state = _begin(Objective(tiles, hessian, upper), config)
    state, late = _improve(state, config)
    _round_vectors(state, config)
    return AdditiveTensor(
        codes=state.codes.to(torch.int32),
        codebooks=state.codebooks.to(config.dtype),
        scales=state.scales.to(config.dtype).view(-1, 1, 1, 1),
        notes=(*notes, *late),
    )


def _begin(objective: Objective, config: AdditiveConfig) -> _State:
    shape, generator = config.shape, torch.Generator().manual_seed(config.seed)
    scales = initial_scales(objective.weight)
    codebooks = residual_kmeans(
        objective, scales, codebooks=shape.codebooks, codebook_bits=shape.codebook_bits, in_group=shape.in_group, generator=generator
    )
    codes = beam_search(objective, codebooks, scales, 1)
    return _State(objective, codes, codebooks, scales, objective.losses(weight_of(codes, codebooks, scales)))


def _improve(state: _State, config: AdditiveConfig) -> tuple[_State, tuple[str, ...]]:
    """Codebooks, scales and codes in turn; the loss never rises."""
    until = time.monotonic() + config.seconds
    for number in range(config.rounds):
        before = state.loss
        state.take_vectors(fit_codebooks(state.objective, state.codes, state.codebooks, state.scales, _CG_STEPS), state.scales)
        state.take_vectors(state.codebooks, fit_scales(state.objective, state.codes, state.codebooks, state.scales))
        state.take_codes(beam_search(state.objective, state.codebooks, state.scales, config.beam))
        state.take_codes(sweep(state.objective, state.codes, state.codebooks, state.scales))
        if state.loss >= (1 - config.gain) * before:
            break
        if time.monotonic() > until and number + 1 < config.rounds:
            return state, (f"the search for codes ended after round {number + 1} of {config.rounds}, after its {config.seconds:.0f} s",)
    return state, ()


def _round_vectors(state: _State, config: AdditiveConfig) -> None:
    """Make codebooks and scales what the file will hold, and let the codes answer to that."""
    state.take_vectors(fit_codebooks(state.objective, state.codes, state.codebooks, state.scales, _CG_STEPS), state.scales)
    stored = [values.to(config.dtype).to(torch.float32) for values in (state.codebooks, state.scales)]
    state.take_vectors(stored[0], stored[1], always=True)
    state.take_codes(sweep(state.objective, state.codes, state.codebooks, state.scales))


def scheme(spec: QuantizeSpec) -> Aqlm:
    """Codes and codebooks as AQLM stores them."""
    shape = shape_of(spec.request)
    return Aqlm(shape.codebooks, shape.codebook_bits, shape.out_group, shape.in_group)


SOLVER = LinearSolver(
    quantize, lambda spec, grid, _name: AdditiveConfig(shape_of(spec.request), damp=spec.damp, seed=spec.seed, dtype=grid.scale_dtype), scheme=scheme
)
