"""Outlier channels spoil keys that are quantized by token and leave those quantized by channel as they are: the reason for KIVI."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from core.kvcache.catalog.settings import SchemeSettings
from core.runtime.module import ModuleDecoder
from tests.core.kvcache.schemes.making import cache_for, cache_with, tiny_llama
from tests.core.kvcache.schemes.outliers import TokenKeysLayer, add_outlier_channels

SIZES = SchemeSettings(group=16, residual=16)
CHANGES: dict[str, Any] = {"num_hidden_layers": 1, "initializer_range": 0.1}


def outputs(model: torch.nn.Module, tokens: Tensor, *, by_token: bool) -> Tensor:
    cache = cache_with(model, TokenKeysLayer, SIZES) if by_token else cache_for(model, "kivi-2", SIZES)
    decoder = ModuleDecoder(model, 128, cache)  # type: ignore[arg-type]
    decoder.forward(tokens[:, :80])
    return torch.cat([decoder.forward(tokens[:, at : at + 1]) for at in range(80, 100)], dim=1)


@pytest.mark.parametrize("factor", [16.0])
def test_by_token_is_several_times_worse_than_by_channel_on_outlier_channels(factor: float) -> None:
    plain = tiny_llama(**CHANGES)
    with_outliers = copy.deepcopy(plain)
    add_outlier_channels(with_outliers, pairs=(1,), factor=factor)
    tokens = torch.randint(2, 64, (1, 100), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        full = plain(tokens).logits[:, 80:]
        torch.testing.assert_close(with_outliers(tokens).logits[:, 80:], full, rtol=1e-4, atol=1e-4)
    errors = {
        (model is with_outliers, by_token): float((outputs(model, tokens, by_token=by_token) - full).norm() / full.norm())
        for model in (plain, with_outliers)
        for by_token in (False, True)
    }
    assert errors[True, False] == pytest.approx(errors[False, False], rel=0.05), "by channel the factor is in the scales"
    assert errors[True, True] > 3 * errors[True, False]
    assert errors[True, True] > 3 * errors[False, True]
