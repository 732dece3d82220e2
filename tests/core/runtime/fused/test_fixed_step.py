"""The step of fixed shapes, plain, compiled and as a CUDA graph, against the steps that are bound to views."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from core.runtime.cache import KvCache
from core.runtime.caches.dynamic import DynamicKvLayer
from core.runtime.fused.compile import use_compiled
from core.runtime.fused.cuda_graph import use_cuda_graph
from core.runtime.fused.decoder import FusedDecoder
from core.runtime.fused.fixed_step import FixedStep
from core.runtime.generate import generate
from core.runtime.prefill import prefill
from tests.core.runtime.tiny import FUSED, by_transformers, config_of, model_of, padded, prompts

FAMILIES = ["llama", "gemma2", "gemma3", "qwen3", "olmo2", "phi3, partly rotated", "granite"]


@pytest.mark.parametrize("name", FUSED)
def test_every_family_writes_the_text_of_transformers(name: str) -> None:
    model, prompt = model_of(config_of(name)), prompts(14, 2)
    decoder = FusedDecoder(model, 50, batch=2)
    used = []
    decoder.use_fixed(FixedStep(lambda run, batch: used.append(batch) or run))
    assert generate(decoder, prompt, max_new_tokens=20).tokens == by_transformers(model, prompt, 20)
    assert generate(decoder, prompt[:1], max_new_tokens=20).tokens == by_transformers(model, prompt[:1], 20)
    assert used == [2, 1]


def test_holes_are_left_to_the_other_steps() -> None:
    tokens, real = padded([9, 4])
    model = model_of(config_of("llama"))
    decoder = FusedDecoder(model, 40, batch=2)
    decoder.use_fixed(FixedStep(lambda run, batch: run))
    assert generate(decoder, tokens, real=real, max_new_tokens=9).tokens == by_transformers(model, tokens, 9, real)


def test_roll_back_and_drafts_go_together_with_fixed_steps() -> None:
    model, prompt, draft = model_of(config_of("llama")), prompts(9), prompts(4, seed=8)
    plain, fixed = FusedDecoder(model, 40), FusedDecoder(model, 40)
    fixed.use_fixed(FixedStep(lambda run, batch: run))
    for decoder in (plain, fixed):
        prefill(decoder, prompt)
        decoder.forward(draft)
        decoder.keep([2], 4)
        decoder.forward(draft[:, :1])
    torch.testing.assert_close(fixed.forward(draft[:, 1:2]), plain.forward(draft[:, 1:2]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fixed.hidden, plain.hidden, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_sped_up_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompt = model_of(config_of("llama")), prompts(9)
    expected = by_transformers(model, prompt, 6)
    cached = FusedDecoder(model, 40, cache=KvCache([DynamicKvLayer() for _ in range(3)]))
    assert "static cache" in str(use_compiled(cached))
    decoder = FusedDecoder(model, 40)
    assert "need a CUDA device" in str(use_cuda_graph(decoder))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "needs a C++ compiler" in str(use_compiled(decoder))
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(torch, "compile", lambda run, **options: _fails)
    assert "torch.compile failed: no toolchain" in str(use_compiled(decoder))
    assert generate(decoder, prompt, max_new_tokens=6).tokens == expected


def _fails(*arguments: object) -> None:
    raise RuntimeError("no toolchain\nand a long story")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_compiled_step_writes_the_same_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    model, prompt = model_of(config_of("gemma3")), prompts(9)
    decoder = FusedDecoder(model, 40)
    assert use_compiled(decoder) is None
    assert generate(decoder, prompt, max_new_tokens=20).tokens == by_transformers(model, prompt, 20)


@pytest.mark.gpu
@pytest.mark.parametrize("name", FAMILIES)
def test_a_cuda_graph_writes_the_same_text(name: str) -> None:
    model, prompt = model_of(config_of(name)).cuda(), prompts(14, 2).cuda()  # type: ignore[call-arg]
    decoder = FusedDecoder(model, 50, batch=2)
    assert use_cuda_graph(decoder) is None
    for _ in range(2):
        assert generate(decoder, prompt, max_new_tokens=20).tokens == by_transformers(model, prompt, 20)
    assert generate(decoder, prompt[:1], max_new_tokens=20).tokens == by_transformers(model, prompt[:1], 20)
