"""A model that is read block by block predicts what the whole model predicts, with bounded memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.errors import Cancelled
from core.evaluate.logits.sources import ModelLogits, StreamedLogits
from core.models.load import load_model
from core.models.stream.streaming import StreamedModel
from tests.core.evaluate.measure import divergence


@pytest.fixture(scope="module")
def windows() -> Tensor:
    return torch.randint(0, 320, (9, 32), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_streamed_logits_are_those_of_the_whole_model(tiny_llama_dir: Path, windows: Tensor, dtype: torch.dtype) -> None:
    whole = torch.cat(list(ModelLogits(load_model(tiny_llama_dir, dtype)).logits(windows))).float()
    with StreamedModel.open(tiny_llama_dir, dtype=dtype) as streamed:
        found = list(StreamedLogits(streamed).logits(windows))
    assert all(logits.dtype == torch.float32 for logits in found)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(torch.cat(found), whole, rtol=0, atol=tolerance)


def test_shares_of_the_windows_change_nothing_and_are_all_told(tiny_llama_dir: Path, windows: Tensor) -> None:
    told: list[tuple[int, int]] = []
    with StreamedModel.open(tiny_llama_dir, dtype=torch.float32) as streamed:
        at_once = torch.cat(list(StreamedLogits(streamed).logits(windows)))
        two_windows = 2 * 32 * 64 * 4
        source = StreamedLogits(streamed, hidden_bytes=two_windows, chunk_bytes=1, on_block=lambda done, blocks: told.append((done, blocks)))
        chunks = list(source.logits(windows))
    assert [len(chunk) for chunk in chunks] == [1] * 9
    torch.testing.assert_close(torch.cat(chunks), at_once, rtol=0, atol=1e-5)
    assert told == [(done, 10) for done in range(1, 11)]
    assert source.n_steps(windows) == 10


def test_nothing_stays_loaded_behind_the_last_window(tiny_llama_dir: Path, windows: Tensor) -> None:
    with StreamedModel.open(tiny_llama_dir, dtype=torch.float32) as streamed:
        for _ in StreamedLogits(streamed).logits(windows):
            pass
        assert {parameter.device.type for parameter in streamed.model.parameters()} == {"meta"}


def test_nothing_stays_loaded_when_the_caller_leaves_early(tiny_llama_dir: Path, windows: Tensor) -> None:
    with StreamedModel.open(tiny_llama_dir, dtype=torch.float32) as streamed:
        logits = StreamedLogits(streamed, chunk_bytes=1).logits(windows)
        next(logits)
        logits.close()  # type: ignore[attr-defined]
        assert {parameter.device.type for parameter in streamed.model.parameters()} == {"meta"}


def test_a_streamed_model_can_be_cancelled_between_blocks(tiny_llama_dir: Path, windows: Tensor) -> None:
    def cancel(done: int, blocks: int) -> None:
        raise Cancelled("stopped")

    with StreamedModel.open(tiny_llama_dir) as streamed, pytest.raises(Cancelled):
        next(StreamedLogits(streamed, on_block=cancel).logits(windows))


def test_an_overlay_is_measured_against_the_stored_weights(tiny_llama_dir: Path) -> None:
    tokens = torch.randint(0, 320, (500,), generator=torch.Generator().manual_seed(1))
    with StreamedModel.open(tiny_llama_dir, dtype=torch.float32) as streamed:
        name = "model.layers.1.mlp.down_proj.weight"
        changed = streamed.read_tensor(name).float() * 1.5
        with StreamedModel.open(tiny_llama_dir, dtype=torch.float32, overlay={name: changed}) as other:
            found = divergence(StreamedLogits(streamed), StreamedLogits(other), tokens, 50)
    whole = load_model(tiny_llama_dir, torch.float32)
    edited = load_model(tiny_llama_dir, torch.float32)
    edited.get_parameter(name).data.copy_(changed)
    expected = divergence(whole, edited, tokens, 50)
    assert expected.kl_mean > 1e-6
    assert found.kl_mean == pytest.approx(expected.kl_mean, rel=1e-2)
    assert found.ppl == pytest.approx(expected.ppl, rel=1e-6)
