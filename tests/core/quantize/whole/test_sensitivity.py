"""Sensitivities against a model in memory of which one weight was exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.calibration import probe
from core.calibration.blocks import calibrated_blocks
from core.errors import Cancelled, RunFailed
from core.models.stream.streaming import StreamedModel, load_model
from core.numerics.grid import Grid
from core.numerics.stored import StoredWeight
from core.quantize.linear import rtn
from core.quantize.whole.sensitivity import Sensitivity, sensitivities
from tests.core.evaluate.measure import divergence

WIDTHS = (2, 4, 8)
WINDOWS = torch.randint(2, 258, (3, 40), generator=torch.Generator().manual_seed(0))


def candidates(weight: Tensor, _name: str, _statistics: object) -> Iterator[tuple[int, StoredWeight]]:
    for bits in WIDTHS:
        yield bits, rtn.quantize(weight, None, Grid(bits, group_size=32))


def measure(folder: Path, **options: Any) -> list[Sensitivity]:
    with StreamedModel.open(folder, torch.float32) as streamed:
        before = {name: streamed.read_tensor(name).clone() for name in streamed.block_tensors(0)}
        found = list(sensitivities(streamed, calibrated_blocks(streamed, WINDOWS), WINDOWS, candidates, **options))
        assert all(torch.equal(streamed.read_tensor(name), tensor) for name, tensor in before.items())
    return found


def by_hand(folder: Path, linear: str, bits: int) -> float:
    from core.models.resolve import resolve

    source = resolve(str(folder))
    original, changed = (load_model(source, torch.float32) for _ in range(2))
    weight = changed.get_parameter(f"{linear}.weight")
    weight.data.copy_(rtn.quantize(weight.data, None, Grid(bits, group_size=32)).dequantize())
    tokens = torch.cat([WINDOWS, WINDOWS[:, :1]], dim=1)  # every position of a window is a prediction: one more target each
    return divergence(original, changed, tokens.reshape(-1), context=tokens.shape[1]).kl_mean


def test_each_is_the_divergence_of_the_model_with_that_weight_alone_rounded(tiny_llama_dir: Path) -> None:
    found = measure(tiny_llama_dir)
    assert len(found) == 14 * len(WIDTHS)
    assert [one.bits for one in found[:3]] == [2, 4, 8]
    assert found[0].linear == "model.layers.0.self_attn.q_proj"
    assert found[0].bytes == 64 * 64 // 4 + 2 * 64 * 4
    for one in (found[0], found[22], found[41]):
        assert one.kl == pytest.approx(by_hand(tiny_llama_dir, one.linear, one.bits), rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("held_bytes", [1, 3 * 40 * 64 * 4 * 5])
def test_little_memory_gives_the_same_figures_in_more_passes(held_bytes: int, tiny_llama_dir: Path) -> None:
    assert measure(tiny_llama_dir) == measure(tiny_llama_dir, held_bytes=held_bytes)


def test_fewer_bits_cost_more(tiny_llama_dir: Path) -> None:
    found = measure(tiny_llama_dir)
    two, four, eight = (sum(one.kl for one in found if one.bits == bits) for bits in WIDTHS)
    assert two > 4 * four > 16 * eight > 0


@pytest.mark.parametrize("logit_bytes", [4 * 320, 4 * 320 * 50])
def test_few_logits_at_once_give_the_same_figures(logit_bytes: int, tiny_llama_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = measure(tiny_llama_dir)
    monkeypatch.setattr(probe, "_LOGIT_BYTES", {"cpu": logit_bytes})
    for one, other in zip(expected, measure(tiny_llama_dir), strict=True):
        assert one.kl == pytest.approx(other.kl, rel=1e-3, abs=1e-8)


def test_linears_can_be_left_out_without_changing_the_others(tiny_llama_dir: Path) -> None:
    every = measure(tiny_llama_dir)
    left_out = {one.linear for one in every[: 9 * len(WIDTHS)]}
    assert measure(tiny_llama_dir, skip=left_out) == every[9 * len(WIDTHS) :]


def test_it_can_be_cancelled_and_leaves_the_weights_as_they_were(tiny_llama_dir: Path) -> None:
    def stop(_label: str) -> None:
        raise Cancelled("cancelled")

    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        before = {name: parameter.clone() for name, parameter in streamed.load_block(0).named_parameters()}
        with pytest.raises(Cancelled):
            list(sensitivities(streamed, calibrated_blocks(streamed, WINDOWS), WINDOWS, candidates, stop))
        assert all(torch.equal(parameter, before[name]) for name, parameter in streamed.load_block(0).named_parameters())


def test_predictions_that_are_no_numbers_are_refused(tiny_llama_dir: Path) -> None:
    def broken(weight: Tensor, _name: str, _statistics: object) -> Iterator[tuple[int, StoredWeight]]:
        quantized = rtn.quantize(weight, None, Grid(8, group_size=32))
        quantized.scales.fill_(float("nan"))
        yield 8, quantized

    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed, pytest.raises(RunFailed, match="contain NaN or Inf"):
        list(sensitivities(streamed, calibrated_blocks(streamed, WINDOWS), WINDOWS, broken))
