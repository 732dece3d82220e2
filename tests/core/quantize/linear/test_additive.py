"""The search for additive codes against exhaustive search, and the promises of each of its steps."""

from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.calibration.cholesky import factorize
from core.calibration.statistics import InputStatistics
from core.errors import RunFailed
from core.quantize.linear import additive as method
from core.quantize.linear.additive import AdditiveConfig, additive, quantize
from core.quantize.linear.additive_codebooks import fit_codebooks, fit_scales, initial_scales, residual_kmeans
from core.quantize.linear.additive_codes import Objective, beam_search, sweep, weight_of
from core.quantize.plan.additive_shape import CodebookShape
from tests.core.quantize.by_hessian import gptq


def problem(rows: int, out_group: int, columns: int, seed: int) -> Objective:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.eye(columns) + 0.4 * torch.randn(columns, columns, generator=generator)
    inputs = torch.randn(4 * columns, columns, generator=generator) @ mix
    upper = factorize(2 / len(inputs) * inputs.t() @ inputs).upper.triu()
    return Objective(torch.randn(rows, out_group, columns, generator=generator), upper @ upper.t(), upper)


def vectors(objective: Objective, count: int, bits: int, in_group: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    books = torch.randn(count, 1 << bits, objective.weight.shape[1], in_group, generator=generator) / count**0.5
    return books, torch.rand(len(objective.weight), generator=generator) + 0.5


def loss(objective: Objective, approximation: torch.Tensor) -> torch.Tensor:
    """tr(E H Eᵀ) of each row of tiles in float64, by the definition."""
    error = (approximation - objective.weight).double()
    return torch.einsum("roi,ij,roj->r", error, objective.hessian.double(), error)


def exhaustive(objective: Objective, books: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """The least loss of each row of tiles over all codes."""
    rows, _, columns = objective.weight.shape
    count, entries, _, in_group = books.shape
    groups = columns // in_group
    best = torch.full((rows,), torch.inf, dtype=torch.float64)
    for codes in product(range(entries), repeat=groups * count):
        tried = torch.tensor(codes).view(1, groups, count).expand(rows, -1, -1)
        best = torch.minimum(best, loss(objective, weight_of(tried, books, scales)))
    return best


@pytest.mark.parametrize(("count", "bits", "out_group", "in_group", "columns"), [(1, 2, 1, 2, 8), (1, 3, 2, 2, 6), (2, 2, 1, 2, 4), (2, 1, 2, 4, 12)])
def test_a_wide_beam_finds_the_best_codes(count: int, bits: int, out_group: int, in_group: int, columns: int) -> None:
    objective = problem(4, out_group, columns, seed=columns)
    books, scales = vectors(objective, count, bits, in_group, seed=1)
    found = loss(objective, weight_of(beam_search(objective, books, scales, 4096), books, scales))
    torch.testing.assert_close(found, exhaustive(objective, books, scales), rtol=1e-4, atol=1e-4)


@settings(max_examples=25)
@given(
    count=st.integers(1, 2),
    bits=st.integers(2, 5),
    tile=st.sampled_from([(1, 4), (2, 2), (1, 8), (4, 1)]),
    columns=st.sampled_from([8, 32, 80, 136]),
    seed=st.integers(0, 10**6),
)
def test_searches_state_their_loss_and_sweeps_never_raise_it(count: int, bits: int, tile: tuple[int, int], columns: int, seed: int) -> None:
    objective = problem(5, tile[0], columns, seed)
    books, scales = vectors(objective, count, bits, tile[1], seed)
    codes = beam_search(objective, books, scales, 4)
    before = loss(objective, weight_of(codes, books, scales))
    torch.testing.assert_close(objective.losses(weight_of(codes, books, scales)).double(), before, rtol=1e-3, atol=1e-3)
    better = sweep(objective, codes, books, scales)
    after = loss(objective, weight_of(better, books, scales))
    assert bool((after <= before * (1 + 1e-5)).all())
    assert bool((loss(objective, weight_of(sweep(objective, better, books, scales), books, scales)) <= after * (1 + 1e-5)).all())


def test_a_sweep_ends_where_no_single_code_can_be_bettered() -> None:
    objective = problem(3, 1, 12, seed=5)
    books, scales = vectors(objective, 1, 3, 4, seed=6)
    codes = beam_search(objective, books, scales, 1)
    for _ in range(10):
        codes = sweep(objective, codes, books, scales)
    least = loss(objective, weight_of(codes, books, scales))
    for group in range(3):
        for code in range(8):
            tried = codes.clone()
            tried[:, group, 0] = code
            assert bool((loss(objective, weight_of(tried, books, scales)) >= least - 1e-4).all())


def test_a_beam_is_better_than_greedy_on_the_whole() -> None:
    objective = problem(48, 1, 96, seed=3)
    books, scales = vectors(objective, 1, 4, 2, seed=4)
    losses = [float(loss(objective, weight_of(beam_search(objective, books, scales, beam), books, scales)).sum()) for beam in (1, 4, 16)]
    assert losses[0] > losses[1] > losses[2]


def test_a_beam_of_one_over_a_grid_is_gptq() -> None:
    """With single weights as tiles and the grid's values as vectors, error feedback is GPTQ's."""
    objective = problem(16, 1, 64, seed=11)
    weight = objective.weight[:, 0]
    hessian = objective.hessian
    expected = gptq(weight, hessian, bits=3, group_size=None, damp=1e-9)
    books = torch.arange(-4.0, 4.0).view(1, 8, 1, 1)
    found = weight_of(beam_search(objective, books, expected.scales[:, 0], 1), books, expected.scales[:, 0])[:, 0]
    assert float((found != expected.dequantize()).float().mean()) < 0.02, "float32 may tip a tie in a row, not more"


@pytest.mark.parametrize("count", [1, 2])
def test_codebooks_are_the_least_squares_solution(count: int) -> None:
    objective = problem(40, 1, 32, seed=8)
    books, scales = vectors(objective, count, 3, 4, seed=9)
    codes = torch.randint(0, 8, (40, 8, count), generator=torch.Generator().manual_seed(0))
    found = fit_codebooks(objective, codes, books, scales, 500)
    columns = []
    for entry in range(books.numel()):
        unit = torch.zeros(books.numel())
        unit[entry] = 1
        columns.append((weight_of(codes, unit.view_as(books), scales) @ objective.upper).flatten())
    design = torch.stack(columns, dim=1).double()
    target = (objective.weight @ objective.upper).flatten().double()
    solution = torch.linalg.lstsq(design, target, rcond=1e-5, driver="gelsd").solution
    least = float((design @ solution - target).square().sum())
    assert float(loss(objective, weight_of(codes, found, scales)).sum()) == pytest.approx(least, rel=1e-3)


def test_scales_are_the_least_squares_solution() -> None:
    objective = problem(6, 2, 16, seed=2)
    books, scales = vectors(objective, 2, 4, 2, seed=2)
    codes = beam_search(objective, books, scales, 2)
    fitted = fit_scales(objective, codes, books, scales)
    least = loss(objective, weight_of(codes, books, fitted))
    for factor in (0.99, 1.01):
        assert bool((loss(objective, weight_of(codes, books, fitted * factor)) >= least).all())


def test_kmeans_begins_near_the_weights() -> None:
    objective = problem(64, 1, 64, seed=7)
    scales = initial_scales(objective.weight)
    books = residual_kmeans(objective, scales, codebooks=2, codebook_bits=6, in_group=4, generator=torch.Generator().manual_seed(0))
    assert books.shape == (2, 64, 1, 4)
    codes = beam_search(objective, books, scales, 1)
    error = (weight_of(codes, books, scales) - objective.weight).square().sum() / objective.weight.square().sum()
    assert float(error) < 0.3


def test_each_round_lowers_the_loss_and_what_is_stored_is_what_was_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = problem(32, 2, 64, seed=21)
    seen: list[float] = []
    original = method._State.take_codes

    def watched(self: method._State, codes: torch.Tensor) -> None:
        original(self, codes)
        seen.append(self.loss)

    monkeypatch.setattr(method._State, "take_codes", watched)
    config = AdditiveConfig(CodebookShape(1, 5, 2, 2), beam=4, rounds=4, gain=0.0)
    found = additive(objective.weight.flatten(0, 1), objective.hessian, objective.upper, config)
    assert len(seen) == 9
    assert all(later <= earlier for earlier, later in pairwise(seen[:-1])), "up to the rounding of the vectors nothing rises"
    stored = float(loss(objective, found.dequantize().view_as(objective.weight)).sum())
    assert stored == pytest.approx(seen[-1], rel=1e-3)
    assert found.codebooks.dtype == found.scales.dtype == torch.bfloat16
    assert stored <= seen[-2] * 1.01


def test_beats_gptq_of_the_same_size() -> None:
    objective = problem(512, 1, 256, seed=31)
    weight = objective.weight[:, 0]
    config = AdditiveConfig(CodebookShape(1, 7, 2, 2), beam=4, rounds=3)
    found = additive(weight, objective.hessian, objective.upper, config)
    rival = min(
        float(loss(objective, gptq(weight, objective.hessian, bits=2, group_size=128, clipping=clipping).dequantize().unsqueeze(1)).sum())
        for clipping in ("absmax", "mse")
    )
    assert found.nbytes <= gptq(weight, objective.hessian, bits=2, group_size=128, scale_dtype=torch.bfloat16).nbytes
    assert float(loss(objective, found.dequantize().unsqueeze(1)).sum()) < 0.75 * rival


def test_a_search_out_of_time_says_so() -> None:
    objective = problem(8, 1, 32, seed=1)
    config = AdditiveConfig(CodebookShape(1, 4, 1, 4), gain=-1.0, seconds=0.0)
    found = additive(objective.weight[:, 0], objective.hessian, objective.upper, config)
    assert found.notes == ("the search for codes ended after round 1 of 4, after its 0 s",)


def test_one_seed_one_result() -> None:
    objective = problem(16, 1, 32, seed=1)
    config = AdditiveConfig(CodebookShape(1, 4, 1, 4), rounds=2)
    first, second = (additive(objective.weight[:, 0], objective.hessian, objective.upper, config) for _ in range(2))
    assert torch.equal(first.codes, second.codes)
    assert torch.equal(first.codebooks, second.codebooks)


def test_from_statistics_and_without_any() -> None:
    statistics = InputStatistics(32)
    statistics.add(torch.randn(200, 32, generator=torch.Generator().manual_seed(0)))
    weight = torch.randn(16, 32, generator=torch.Generator().manual_seed(1))
    config = AdditiveConfig(CodebookShape(1, 5, 1, 2), rounds=2)
    calibrated, blind = quantize(weight, statistics, config), quantize(weight, None, config)
    assert calibrated.notes == ()
    assert "ever reached" in blind.notes[0]
    for found in (calibrated, blind):
        assert float((found.dequantize() - weight).square().sum() / weight.square().sum()) < 0.15


def test_what_cannot_be_is_refused_in_one_sentence() -> None:
    objective = problem(6, 1, 32, seed=1)
    with pytest.raises(RunFailed, match="do not divide"):
        additive(objective.weight[:, 0], objective.hessian, objective.upper, AdditiveConfig(CodebookShape(1, 4, 4, 4)))
    damaged = objective.weight[:, 0].clone()
    damaged[0, 0] = torch.nan
    with pytest.raises(RunFailed, match="NaN"):
        additive(damaged, objective.hessian, objective.upper, AdditiveConfig(CodebookShape(1, 4, 1, 4)))


def test_zero_weights_and_few_tiles_do_no_harm() -> None:
    objective = problem(4, 1, 16, seed=1)
    weight = torch.zeros(4, 16)
    weight[0] = 1.0
    found = additive(weight, objective.hessian, objective.upper, AdditiveConfig(CodebookShape(2, 8, 1, 8)))
    torch.testing.assert_close(found.dequantize(), weight, atol=0.02, rtol=0)
