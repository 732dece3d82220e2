"""The training script on a toy: base, then draft; interrupted it goes on; what it writes transformers loads."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.models.bundled import recipe, train
from core.training.trainer import Step

TINY = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "vocab_size": 300,
    "max_position_embeddings": 32,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
}


@pytest.fixture(autouse=True)
def toy_recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def documents_of(split: str) -> Iterator[tuple[str, str]]:
        yield from ((f"module{index}.py", f"def f{index}(x):\n    return x + {index}\n" * 12) for index in range(12))

    monkeypatch.setattr("core.text.documents_of", documents_of)
    monkeypatch.setattr(recipe, "VOCABULARY", 300)
    monkeypatch.setattr(recipe, "CONTEXT", 32)
    monkeypatch.setattr(recipe, "CONFIGS", {"base": TINY | {"num_hidden_layers": 2}, "draft": TINY | {"num_hidden_layers": 1}})
    monkeypatch.setattr(recipe.batches, "__defaults__", (256, 0.65))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def call(monkeypatch: pytest.MonkeyPatch, folder: Path, model: str, steps: int) -> int:
    monkeypatch.setattr(sys, "argv", ["train", model, "--steps", str(steps), "--work", str(folder / "work"), "--out", str(folder / "out")])
    return train.main()


def test_base_then_draft(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, tmp_path, "base", 3) == 0
    assert call(monkeypatch, tmp_path, "draft", 2) == 0
    printed = capsys.readouterr()
    assert not printed.out
    assert "step 3/3" in printed.err
    assert "min left" in printed.err
    for name, layers in (("base", 2), ("draft", 1)):
        folder = tmp_path / "out" / name
        model = AutoModelForCausalLM.from_pretrained(folder)
        assert model.config.num_hidden_layers == layers
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tokenizer("x").input_ids[0] == tokenizer.bos_token_id == 0
        chat = tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False, add_generation_prompt=True)
        assert chat == "<|begin_of_text|><|user|>\nx\n<|assistant|>\n"


def test_an_interrupted_training_says_so_and_goes_on_to_the_same_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert call(monkeypatch, tmp_path / "whole", "base", 4) == 0

    def interrupt_at_two(self: object, step: Step) -> None:
        if step.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(train._Progress, "__call__", interrupt_at_two)
        assert call(monkeypatch, tmp_path / "parts", "base", 4) == 130
    assert not (tmp_path / "parts" / "out" / "base").exists()
    assert call(monkeypatch, tmp_path / "parts", "base", 4) == 0
    whole, parts = ((tmp_path / folder / "out" / "base" / "model.safetensors").read_bytes() for folder in ("whole", "parts"))
    assert whole == parts
