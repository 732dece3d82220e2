"""Fixtures for every room: small real models, made on the spot."""

from __future__ import annotations

import gc
import json
import os
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from core import text

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Threads of one operation that wait for each other spin: on cores that several test processes share, one thread each is far faster.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("any-machine", deadline=None)
hypothesis.settings.load_profile("any-machine")
# A screen makes tens of thousands of objects among hundreds of thousands that stay: with the usual thresholds a quarter of the time is collecting.
gc.set_threshold(20_000, 10, 10)

TINY_LLAMA: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 320,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
}


def pytest_collection_finish() -> None:
    """What was imported stays: no collection looks at it again."""
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs llama.cpp where it is missing; a machine that promises to have it (LLMOPT_REQUIRE_LLAMA) fails instead."""
    if item.get_closest_marker("llama") is None:
        return
    from core.formats.gguf.llama import process as llama_process

    if not llama_process.is_installed():
        reason = f"needs llama-cpp-python: {llama_process.INSTALL}"
        (pytest.fail if os.environ.get("LLMOPT_REQUIRE_LLAMA") else pytest.skip)(reason)


@pytest.fixture(autouse=True)
def llmopt_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home for runs and settings, so that no test sees the developer's own."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("LLMOPT_HOME", str(home))
    monkeypatch.setenv("LLMOPT_CONFIG", str(home / "config.toml"))
    return home


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """What a test does to signals ends with it: what is ignored here is ignored by every process that a later test starts."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def builtin_text_once() -> Iterator[None]:
    """The built-in text is read from a thousand files: once is enough for all the runs of a session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "builtin", cache(text.builtin))
        yield


@pytest.fixture(scope="session")
def tiny_llama_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers with a byte-level tokenizer, saved in bfloat16 as transformers saves it."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**TINY_LLAMA)).bfloat16().save_pretrained(folder)
    specials = {"<s>": 0, "</s>": 1}
    alphabet = {character: index + 2 for index, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=specials | alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(specials))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "model_max_length": 128}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
