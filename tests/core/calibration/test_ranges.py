"""Ranges of inputs, and calls of modules that can be made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.calibration.blocks import calibrated_blocks
from core.calibration.statistics import InputStatistics
from core.errors import RunFailed
from core.models.stream.streaming import StreamedModel

TOKENS = torch.randint(0, 300, (6, 48), generator=torch.Generator().manual_seed(0))
READERS = ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")


@given(seed=st.integers(0, 2**16), parts=st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any), moments=st.booleans())
def test_ranges_are_those_of_all_rows_together(seed: int, parts: list[int], moments: bool) -> None:
    rows = np.random.default_rng(seed).standard_cauchy((sum(parts), 7)).astype(np.float32)
    statistics = InputStatistics(7, moments=moments)
    for part in torch.from_numpy(rows).split(parts):
        statistics.add(part)
    assert statistics.tokens == len(rows)
    np.testing.assert_array_equal(statistics.absmax.numpy(), np.abs(rows).max(axis=0))
    np.testing.assert_allclose(statistics.mean_abs.numpy(), np.abs(rows.astype(np.float64)).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(statistics.mean_square.numpy(), np.square(rows.astype(np.float64)).mean(axis=0), rtol=1e-4)
    assert statistics.has_hessian is moments


def test_what_was_not_gathered_is_not_there() -> None:
    statistics = InputStatistics(4, moments=False)
    for name in ("absmax", "mean_abs", "mean_square", "hessian"):
        with pytest.raises(RunFailed, match="never reached"):
            getattr(statistics, name)
    statistics.add(torch.ones(2, 4))
    with pytest.raises(ValueError, match="not gathered"):
        _ = statistics.hessian


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("moments", [True, False])
def test_inputs_that_are_not_numbers_are_noticed(value: float, moments: bool) -> None:
    statistics = InputStatistics(4, moments=moments)
    statistics.add(torch.ones(2, 4))
    assert statistics.finite
    statistics.add(torch.tensor([[1.0, value, 1.0, 1.0]]))
    assert not statistics.finite


def test_one_pass_gives_the_ranges_of_every_linear(tiny_llama_dir: Path) -> None:
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        for block in calibrated_blocks(streamed, TOKENS):
            found = block.ranges(READERS)
            for name, group in zip(READERS, block.groups, strict=True):
                assert name in group.names
                expected = block.statistics(group)
                assert found[name].tokens == expected.tokens == TOKENS.numel()
                torch.testing.assert_close(found[name].absmax, expected.absmax)
                torch.testing.assert_close(found[name].mean_abs, expected.mean_abs)


def test_a_pass_ends_at_the_last_linear_and_after_enough_tokens(tiny_llama_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.calibration.blocks._CHUNK_TOKENS", 96)
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        block = next(calibrated_blocks(streamed, TOKENS))
        downs: list[int] = []
        handle = block.linears["mlp.down_proj"].register_forward_hook(lambda *_: downs.append(1))
        assert block.ranges(["mlp.gate_proj", "self_attn.q_proj"])["mlp.gate_proj"].tokens == TOKENS.numel()
        assert not downs
        assert block.ranges(["mlp.gate_proj"], 1)["mlp.gate_proj"].tokens == 96
        assert block.ranges(["mlp.gate_proj"], 97)["mlp.gate_proj"].tokens == 192
        assert block.ranges(["mlp.gate_proj"], 10**6)["mlp.gate_proj"].tokens == TOKENS.numel()
        handle.remove()


def test_ranges_that_are_not_numbers_are_named(tiny_llama_dir: Path) -> None:
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        block = next(calibrated_blocks(streamed, TOKENS))
        block.linears["self_attn.v_proj"].weight.data.fill_(float("inf"))
        with pytest.raises(RunFailed, match=r"self_attn\.o_proj in block 0 contain NaN or Inf"):
            block.ranges(["self_attn.o_proj"])


@pytest.mark.parametrize(("tokens", "windows"), [(1, 1), (48, 1), (100, 2), (10**6, 6)])
def test_a_sample_is_what_modules_are_given_for_the_first_windows(tokens: int, windows: int, tiny_llama_dir: Path) -> None:
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        block = next(calibrated_blocks(streamed, TOKENS))
        seen: list[torch.Tensor] = []
        handle = block.module.mlp.register_forward_hook(lambda _module, _arguments, output: seen.append(output))
        calls = block.sample(["", "self_attn", "mlp"], tokens)
        handle.remove()
        assert [len(found) for found in calls.values()] == [1, 1, 1]
        assert calls["mlp"][0].args[0].shape == (windows, 48, 64)
        with torch.no_grad():
            torch.testing.assert_close(calls["mlp"][0](block.module.mlp), seen[0])  # type: ignore[arg-type]
            whole, attention = calls[""][0](block.module), calls["self_attn"][0](block.module.self_attn)  # type: ignore[arg-type]
        inputs = streamed.capture(TOKENS[:windows])
        torch.testing.assert_close(whole, streamed.run_block(block.module, inputs.hidden, 0, inputs))
        assert attention.shape == whole.shape
        assert not block.module.mlp._forward_pre_hooks
