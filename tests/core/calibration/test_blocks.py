"""Statistics collected block by block are those of the whole model's forward pass."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.calibration.blocks import calibrated_blocks, plain_blocks
from core.calibration.statistics import InputStatistics
from core.errors import Cancelled, RunFailed
from core.models.stream.streaming import StreamedModel, load_model

TOKENS = torch.randint(0, 300, (6, 48), generator=torch.Generator().manual_seed(0))


def hessians_of_whole_model(model: torch.nn.Module, names: list[str]) -> dict[str, torch.Tensor]:
    seen: dict[str, torch.Tensor] = {}
    handles = [
        model.get_submodule(name).register_forward_pre_hook(lambda _, arguments, name=name: seen.__setitem__(name, arguments[0])) for name in names
    ]
    with torch.no_grad():
        model(TOKENS)
    for handle in handles:
        handle.remove()
    return {name: 2 / rows.flatten(0, 1).shape[0] * rows.flatten(0, 1).t() @ rows.flatten(0, 1) for name, rows in seen.items()}


def test_hessians_equal_those_of_hooks_on_the_whole_model(tiny_llama_dir: Path) -> None:
    model = load_model(tiny_llama_dir, torch.float32)
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        for block in calibrated_blocks(streamed, TOKENS):
            names = [f"{streamed.block_prefix(block.index)}{name}" for name in block.linears]
            expected = hessians_of_whole_model(model, names)
            for group in block.groups:
                found = block.statistics(group).hessian
                for name in group.names:
                    torch.testing.assert_close(found, expected[f"{streamed.block_prefix(block.index)}{name}"], rtol=1e-3, atol=1e-4)


def test_linears_that_read_the_same_tensor_share_one_group_in_the_order_of_the_forward_pass(tiny_llama_dir: Path) -> None:
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        block = next(calibrated_blocks(streamed, TOKENS))
    assert [group.names for group in block.groups] == [
        ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        ("self_attn.o_proj",),
        ("mlp.gate_proj", "mlp.up_proj"),
        ("mlp.down_proj",),
    ]


def test_later_linears_and_blocks_see_the_changes_made_before_them(tiny_llama_dir: Path) -> None:
    model = load_model(tiny_llama_dir, torch.float32)
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        for block in calibrated_blocks(streamed, TOKENS):
            prefix = streamed.block_prefix(block.index)
            for group in block.groups:
                found = block.statistics(group).hessian
                expected = hessians_of_whole_model(model, [f"{prefix}{group.names[0]}"])[f"{prefix}{group.names[0]}"]
                torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
                for name in group.names:
                    block.linears[name].weight.data *= 1.5
                    model.get_parameter(f"{prefix}{name}.weight").data *= 1.5


def test_plain_blocks_hold_every_linear_once(tiny_llama_dir: Path) -> None:
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        for block in plain_blocks(streamed):
            assert [name for group in block.groups for name in group.names] == list(block.linears)
            assert all(linear.weight.device.type == "cpu" for linear in block.linears.values())
        assert all(linear.weight.device.type == "meta" for linear in block.linears.values())


def test_the_caller_may_stop_between_chunks(tiny_llama_dir: Path) -> None:
    def stop() -> None:
        raise Cancelled("cancelled")

    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        block = next(calibrated_blocks(streamed, TOKENS, stop))
        with pytest.raises(Cancelled):
            block.statistics(block.groups[0])


def test_inputs_that_are_not_numbers_are_named(tiny_llama_dir: Path) -> None:
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        block = next(calibrated_blocks(streamed, TOKENS))
        block.linears["self_attn.v_proj"].weight.data.fill_(float("inf"))
        with pytest.raises(RunFailed, match=r"self_attn\.o_proj in block 0 contain NaN or Inf"):
            block.statistics(block.groups[1])


def test_the_sum_does_not_depend_on_how_rows_arrive() -> None:
    rows = torch.randn(30, 8, generator=torch.Generator().manual_seed(1))
    whole, parts = InputStatistics(8), InputStatistics(8)
    whole.add(rows)
    for part in rows.split(7):
        parts.add(part[None])
    torch.testing.assert_close(parts.hessian, whole.hessian)
    torch.testing.assert_close(whole.hessian, 2 / 30 * rows.t() @ rows)


def test_what_is_derived_is_made_once_and_reading_closes_the_sum() -> None:
    statistics = InputStatistics(4)
    with pytest.raises(RunFailed, match="never reached"):
        _ = statistics.hessian
    statistics.add(torch.ones(2, 4))
    assert statistics.once("a", lambda: [1]) is statistics.once("a", lambda: [2])
    _ = statistics.hessian
    with pytest.raises(ValueError, match="no more inputs"):
        statistics.add(torch.ones(1, 4))
