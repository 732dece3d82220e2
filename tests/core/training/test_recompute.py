"""Decoder blocks that are computed a second time for the backward pass give the same gradients and hold less."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.models.load import load_model
from core.models.structure import find_blocks
from core.training.recompute import recomputed


@pytest.fixture
def model(tiny_llama_dir: Path) -> PreTrainedModel:
    return load_model(tiny_llama_dir, torch.float32, "cpu").requires_grad_(True)


def gradients(model: PreTrainedModel, tokens: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    logits = model(input_ids=tokens, use_cache=False).logits
    nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_the_same_and_every_block_runs_twice(training: bool, model: PreTrainedModel) -> None:
    model.train(training)
    tokens = torch.randint(0, 300, (2, 32), generator=torch.Generator().manual_seed(0))
    expected = gradients(model, tokens)
    blocks, runs = find_blocks(model).modules, Counter[int]()
    for index, block in enumerate(blocks):
        block.mlp.register_forward_pre_hook(lambda *_, index=index: runs.update([index]))
    with recomputed(blocks):
        found = gradients(model, tokens)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert runs == dict.fromkeys(range(len(blocks)), 2)
    gradients(model, tokens)
    assert runs == dict.fromkeys(range(len(blocks)), 3), "afterwards blocks run as before"


def test_less_is_kept_for_the_backward_pass(model: PreTrainedModel) -> None:
    def kept() -> int:
        sizes: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model.model(input_ids=torch.zeros(2, 64, dtype=torch.long), use_cache=False)
        return sum(sizes.values()) - weights

    weights = sum(parameter.nbytes for parameter in model.parameters())
    plain = kept()
    with recomputed(find_blocks(model).modules):
        assert kept() < plain / 2


def test_a_block_with_a_forward_of_its_own_keeps_it() -> None:
    block = nn.Linear(2, 2)
    own = lambda inputs: inputs + 1  # noqa: E731
    block.forward = own  # type: ignore[method-assign]
    with recomputed([block]):
        assert torch.equal(block(torch.zeros(2)), torch.ones(2))
    assert block.forward is own
