"""A model with blocks left out, over the same weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from core.errors import RequestError
from core.runtime.module import ModuleDecoder
from core.speculate.bench.shape import kept_blocks
from core.speculate.drafters.layers import with_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def test_blocks_are_kept_from_both_ends() -> None:
    assert kept_blocks(10, 4, ()) == (0, 1, 8, 9)
    assert kept_blocks(10, None, ()) == (0, 1, 2, 8, 9)
    assert kept_blocks(10, 1, ()) == (0,)
    assert kept_blocks(6, None, (1, 2)) == (0, 3, 4, 5)


@pytest.mark.parametrize(("keep", "skip", "says"), [(4, (), "the target itself"), (None, (7,), "blocks 0 to 3"), (None, (0, 1, 2, 3), "none")])
def test_what_cannot_be_left_out_is_refused(keep: int | None, skip: tuple[int, ...], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        kept_blocks(4, keep, skip)


def test_it_is_the_model_that_was_built_without_those_blocks(target: PreTrainedModel) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**(target.config.to_dict() | {"num_hidden_layers": 2}))
    oracle = LlamaForCausalLM(config).double().eval()
    weights = {name: value for name, value in target.state_dict().items() if ".layers." not in name}
    for place, block in enumerate((0, 3)):
        prefix = f"model.layers.{block}."
        weights |= {
            f"model.layers.{place}.{name.removeprefix(prefix)}": value for name, value in target.state_dict().items() if name.startswith(prefix)
        }
    oracle.load_state_dict(weights)
    tokens = torch.randint(40, (1, 12), generator=torch.Generator().manual_seed(0))
    before = target(tokens).logits
    shorter = with_blocks(target, (0, 3))
    decoder = ModuleDecoder(shorter, 20)
    steps = torch.cat([decoder.forward(tokens[:, :5]), decoder.forward(tokens[:, 5:])], 1)
    assert torch.allclose(steps, oracle(tokens).logits, atol=1e-10)
    assert torch.equal(target(tokens).logits, before)
    assert len(target.model.layers) == 4
    assert target.config.num_hidden_layers == 4


def test_no_weight_is_held_twice(target: PreTrainedModel) -> None:
    shared = {parameter.data_ptr() for parameter in target.parameters()}
    assert {parameter.data_ptr() for parameter in with_blocks(target, (1, 2)).parameters()} <= shared
