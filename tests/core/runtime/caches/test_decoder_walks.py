"""Random walks through a decoder's operations: whatever was drafted, taken back, selected or padded, each row is predicted as its text alone."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.runtime.cache import KvCache
from core.runtime.caches.dynamic import DynamicKvLayer
from core.runtime.decoder import Tree
from core.runtime.opening import open_decoder
from tests.core.runtime.tiny import config_of, model_of, prompts

SLOTS = 96


@cache
def model(name: str) -> Any:
    return model_of(config_of(name))


class Walk:
    """A decoder beside the texts that its rows should hold."""

    def __init__(self, name: str, fused: bool, batch: int, dynamic: bool) -> None:
        self.model = model(name)
        kept = KvCache([DynamicKvLayer() for _ in range(3)]) if dynamic else None
        self.decoder = open_decoder(self.model, SLOTS, cache=kept, batch=batch, fused=fused)
        self.texts: list[list[int]] = [[] for _ in range(batch)]
        self.seed = 0

    def fresh(self, count: int) -> Tensor:
        self.seed += 1
        return prompts(count, len(self.texts), self.seed)

    def feed(self, count: int, pads: list[int]) -> None:
        tokens = self.fresh(count)
        real = torch.arange(count)[None] >= torch.tensor([pads[row] % count for row in range(len(self.texts))])[:, None]
        logits = self.decoder.forward(tokens, real=real if any(pad % count for pad in pads[: len(self.texts)]) else None)
        for text, row, mask in zip(self.texts, tokens, real, strict=True):
            text += row[mask].tolist()
        self.check(logits[:, -1])

    def draft(self, count: int, keeps: list[int]) -> None:
        tokens = self.fresh(count)
        kept = [keep % (count + 1) for keep in keeps[: len(self.texts)]]
        self.decoder.forward(tokens)
        self.decoder.keep(kept, count)
        for text, row, keep in zip(self.texts, tokens.tolist(), kept, strict=True):
            text += row[:keep]

    def branch(self, parents: list[int], leaf: int) -> None:
        if len(self.texts) > 1 or not self.texts[0]:
            return
        tree = Tree.of([min(parent, node - 1) for node, parent in enumerate(parents)])
        nodes = self.fresh(len(parents))
        self.decoder.forward(nodes, tree=tree)
        path = tree.ancestors[leaf % len(parents)].nonzero()[:, 0]
        self.decoder.select(path)
        self.texts[0] += nodes[0, path].tolist()

    def check(self, found: Tensor) -> None:
        for row, text in enumerate(self.texts):
            with torch.no_grad():
                expected = self.model(torch.tensor([text])).logits[0, -1]
            torch.testing.assert_close(found[row], expected, rtol=1e-3, atol=1e-3)


_SMALL = st.integers(0, 6)
_ROWS = st.lists(_SMALL, min_size=3, max_size=3)
_STEPS = st.one_of(
    st.tuples(st.just("feed"), st.integers(1, 7), _ROWS),
    st.tuples(st.just("draft"), st.integers(1, 5), _ROWS),
    st.tuples(st.just("branch"), st.lists(st.integers(-1, 5), min_size=1, max_size=6), _SMALL),
)


@pytest.mark.parametrize(("name", "fused"), [("llama", True), ("gemma3", True), ("mistral, window", False)])
@settings(max_examples=12, deadline=None)
@given(batch=st.integers(1, 3), dynamic=st.booleans(), steps=st.lists(_STEPS, min_size=2, max_size=9))
def test_each_row_is_predicted_as_its_text_alone(name: str, fused: bool, batch: int, dynamic: bool, steps: list[tuple[str, Any, Any]]) -> None:
    walk = Walk(name, fused, batch, dynamic)
    walk.feed(3, [0, 1, 2])
    for operation, first, second in steps:
        getattr(walk, operation)(first, second)
    walk.feed(1, [0, 0, 0])
