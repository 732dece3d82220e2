"""The test on a model's own tokens finds a rule, a cache or a distribution that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from core.runtime.opening import open_decoder
from core.runtime.sampling import Sampling, draw, warp
from core.speculate.bench import loop
from core.speculate.bench.speculator import LinearSpeculator
from core.speculate.drafters.model import ModelDrafter
from core.speculate.lossless.distribution import model_comparison
from core.speculate.verify import accept, verify_rows
from tests.core.speculate.conftest import llama

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SAMPLING = Sampling(0.9, top_p=0.95)
ROWS = 50


def passes(target: PreTrainedModel, draft: PreTrainedModel, drafting: Sampling = SAMPLING) -> bool:
    decoder = open_decoder(target, 120, batch=ROWS)
    small = open_decoder(draft, 120, batch=ROWS)
    way = LinearSpeculator(decoder, lambda _sampling, generator: ModelDrafter(small, drafting, 40, generator), "")
    prompts = torch.randint(2, 40, (4, 6), generator=torch.Generator().manual_seed(0))
    found, tally, _ = model_comparison(way, decoder, prompts, gamma=3, sampling=SAMPLING, draws=6000, seed=0, error=0.001, batch=ROWS)  # type: ignore[arg-type]
    assert tally.alpha is not None
    return found.passed


@pytest.fixture(scope="module")
def sharp() -> PreTrainedModel:
    """Another target, sure of what it says, so that its draft is often wrong."""
    return llama(40, 2, 7, 0.6)


def test_the_right_rule_passes(sharp: PreTrainedModel, small: PreTrainedModel) -> None:
    assert passes(sharp, small)
    assert passes(small, sharp)


def _resampling_from_p(tokens: Tensor, q: Tensor | None, p: Tensor, generator: Any = None, real: Tensor | None = None) -> tuple[Tensor, Tensor]:
    if not tokens.shape[1]:
        return verify_rows(tokens, q, p, generator, real)
    accepted = accept(tokens, q, p, generator).cumprod(1, dtype=torch.int64).sum(1)
    return accepted, draw(p[torch.arange(len(p)), accepted], generator)


def test_a_wrong_replacement_is_found(sharp: PreTrainedModel, small: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "verify_rows", _resampling_from_p)
    assert not passes(sharp, small)


def test_a_target_that_is_not_warped_is_found(sharp: PreTrainedModel, small: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "warp", lambda logits, sampling, seen: warp(logits, Sampling(1.0), seen))
    assert not passes(sharp, small)


def test_a_draft_warped_otherwise_changes_nothing(sharp: PreTrainedModel, small: PreTrainedModel) -> None:
    """As long as q is what the draft was really drawn from, it may be anything."""
    assert passes(sharp, small, Sampling(1.5))


def test_a_cache_that_is_not_rolled_back_is_found(sharp: PreTrainedModel, small: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = loop._Loop._verify

    def forgetful(self: Any, proposal: Any) -> Any:
        decoder = self._decoder
        self._decoder = _Forgetful(decoder)
        try:
            return keep(self, proposal)
        finally:
            self._decoder = decoder

    monkeypatch.setattr(loop._Loop, "_verify", forgetful)
    assert not passes(sharp, small)


class _Forgetful:
    """Keeps one rejected token too many."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def keep(self, counts: list[int], of: int) -> None:
        self._decoder.keep([min(count + 1, of) if count else 0 for count in counts], of)
