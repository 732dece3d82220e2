"""Parts of a block run once, and what is taken in their place is what they would have returned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.calibration import replay
from core.calibration.blocks import CalibratedBlock, calibrated_blocks
from core.models.stream.streaming import StreamedModel

TOKENS = torch.randint(0, 300, (6, 48), generator=torch.Generator().manual_seed(0))


def walk(folder: Path, dtype: torch.dtype | None = None, change: str = "") -> tuple[list[Tensor], dict[str, int]]:
    """Hessians of all groups while each weight is changed after its own, and how often each part began."""
    found: list[Tensor] = []
    runs = {"self_attn": 0, "mlp": 0}
    with StreamedModel.open(folder, torch.float32) as streamed:
        for block in calibrated_blocks(streamed, TOKENS, dtype=dtype):
            count(block, runs)
            for group in block.groups:
                found.append(block.statistics(group).hessian.clone())
                for name in group.names:
                    block.linears[name].weight.data *= 1.25
                if change and group.names[0] == "self_attn.o_proj":
                    block.module.get_parameter(f"{change}.weight").data *= 1.5
    return found, runs


def count(block: CalibratedBlock, runs: dict[str, int]) -> None:
    def ran(name: str) -> None:
        runs[name] += 1

    firsts = {"self_attn": "self_attn.k_proj", "mlp": "mlp.up_proj"}
    for name, linear in firsts.items():
        block.linears[linear].register_forward_hook(lambda *_, name=name: ran(name))


def without_replay(monkeypatch: pytest.MonkeyPatch, folder: Path, **more: Any) -> tuple[list[Tensor], dict[str, int]]:
    with monkeypatch.context() as patch:
        patch.setattr(replay, "KEPT_WIDTH", 0)
        return walk(folder, **more)


def test_hessians_are_those_of_running_everything_again(tiny_llama_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "KEPT_WIDTH", 1)
    found, runs = walk(tiny_llama_dir)
    expected, all_runs = without_replay(monkeypatch, tiny_llama_dir)
    assert len(found) == len(expected) == 8
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    # Attention runs once a block. The MLP, whose last inputs are too wide to keep, runs once more while the hidden states move on.
    assert runs == {"self_attn": 2, "mlp": 3}
    assert all_runs["self_attn"] > 3 * runs["self_attn"]


@pytest.mark.parametrize("changed", ["input_layernorm", "self_attn.q_proj", "self_attn.o_proj"])
def test_what_was_kept_is_not_used_once_a_weight_before_it_has_changed(tiny_llama_dir: Path, monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    found, runs = walk(tiny_llama_dir, change=changed)
    expected, _ = without_replay(monkeypatch, tiny_llama_dir, change=changed)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert runs["self_attn"] == (2 if changed == "self_attn.o_proj" else 4 + 3)


def test_a_group_may_be_measured_again(tiny_llama_dir: Path) -> None:
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        block = next(calibrated_blocks(streamed, TOKENS))
        first = [block.statistics(group).hessian for group in block.groups]
        again = [block.statistics(group).hessian for group in (*block.groups, *reversed(block.groups))]
    for one, other in zip([*first, *reversed(first)], again, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_in_16_bits_only_rounding_differs(tiny_llama_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = walk(tiny_llama_dir, torch.bfloat16)
    expected, _ = without_replay(monkeypatch, tiny_llama_dir, dtype=torch.bfloat16)
    for one, other in zip(found, expected, strict=True):
        assert float((one - other).norm() / other.norm()) < 5e-3


def test_wide_inputs_are_kept_where_that_is_allowed(tiny_llama_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "KEPT_WIDTH", 4)
    found, runs = walk(tiny_llama_dir)
    expected, _ = without_replay(monkeypatch, tiny_llama_dir)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert runs == {"self_attn": 2, "mlp": 2}
