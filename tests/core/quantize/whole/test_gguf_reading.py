"""The figures of `quantize` are those of the file that it wrote, or the result says what differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, normalizers

from core.errors import Cancelled, RunFailed
from core.evaluate.run import run as evaluate
from core.evaluate.spec import EvaluateSpec
from core.formats.gguf.llama import process as llama_process
from core.formats.gguf.pre_tokenizers import rule_of
from core.models.resolve import resolve
from core.quantize.result import QuantizeResult
from core.quantize.run import run
from core.quantize.whole.gguf_reading import GgufReading
from tests.core.formats.gguf.models import make_model
from tests.core.quantize.conftest import RecordingContext
from tests.core.quantize.whole.test_gguf import request

BASE = resolve("bundled:base").path
LONG = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32}
TEXT = "\n".join(f"x{number} = {number * 7919 % 1000003}  # it's {number * 31 % 9973}" for number in range(120))


def slow(*values: object) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def without_llama_cpp(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("llama") is None:
        monkeypatch.setattr(llama_process, "is_installed", lambda: False)


def assert_measured_as_written(result: QuantizeResult, folder: Path, text: str, context: RecordingContext) -> None:
    """`evaluate` of the file, its original as reference, finds the same."""
    assert result.evaluation is not None
    fields: dict[str, Any] = {"model": f"{result.out}/model.gguf", "reference": str(folder), "text": text}
    found = evaluate(EvaluateSpec(**fields, tokens=512, context=64), context)
    assert found.kl_mean is not None
    assert result.metrics.kl_mean == pytest.approx(found.kl_mean, abs=1e-5)
    assert result.metrics.ln_ppl_ratio == pytest.approx(found.ln_ppl_ratio, abs=1e-5)
    assert result.metrics.ppl_after == pytest.approx(found.ppl, rel=1e-5)
    assert result.evaluation.tokens_scored == found.evaluation.tokens_scored


@pytest.mark.parametrize(
    ("model_type", "changes", "note"),
    [
        ("mistral", {"sliding_window": 16}, "sliding window of 16 tokens"),
        ("phi3", {"sliding_window": 24}, "sliding window of 24 tokens"),
        slow("qwen3", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}, "sliding window of 16 tokens"),
        slow("qwen3", {"rope_parameters": LONG | {"beta_fast": 16.0, "beta_slow": 2.0}}, "YaRN with beta_fast 32"),
    ],
)
def test_what_llama_cpp_computes_otherwise_is_in_the_figures(
    model_type: str, changes: dict[str, Any], note: str, tmp_path: Path, context: RecordingContext
) -> None:
    folder = make_model(tmp_path / "m", model_type, **changes)
    result = run(request(folder, tmp_path / "out", level="F32"), context)
    assert result.metrics.kl_mean is not None
    assert result.metrics.kl_mean > 1e-4
    assert note in result.notes[0]
    assert not any("than it was measured" in found for found in result.notes)
    assert_measured_as_written(result, folder, "builtin", context)


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        slow("gemma2", {"layer_types": ["full_attention"] * 3}),
        ("gemma3_text", {"layer_types": ["full_attention"] * 3}),
        slow("llama", {"rope_parameters": LONG | {"attention_factor": 1.5}}),
        slow("llama", {"rope_parameters": LONG | {"mscale": 1.0, "mscale_all_dim": 0.5}}),
    ],
)
def test_what_llama_cpp_can_compute_costs_nothing(model_type: str, changes: dict[str, Any], tmp_path: Path, context: RecordingContext) -> None:
    folder = make_model(tmp_path / "m", model_type, **changes)
    result = run(request(folder, tmp_path / "out", level="F32"), context)
    assert result.metrics.kl_mean == pytest.approx(0, abs=1e-9)
    assert len(result.notes) == 1
    assert_measured_as_written(result, folder, "builtin", context)


def as_qwen(folder: Path) -> None:
    """transformers makes a Qwen2Tokenizer of it, which cuts digits one by one."""
    make_model(folder, "qwen2", tokenizer=False, vocab_size=4096)


def digits_of_smollm(folder: Path) -> None:
    """GPT2Tokenizer forgets that tokenizer.json cuts digits one by one."""
    make_model(folder, "llama", tokenizer=False, vocab_size=4096, attention_bias=False)
    edit(folder, lambda found: {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [DIGITS, found["pre_tokenizer"]]}}, "GPT2Tokenizer")


def pattern_of_llama_3(folder: Path) -> None:
    """GPT2Tokenizer forgets the pattern in tokenizer.json, too."""
    make_model(folder, "llama", tokenizer=False, vocab_size=4096, attention_bias=False)
    split = {"type": "Split", "pattern": {"Regex": rule_of("llama-bpe").pattern}, "behavior": "Isolated", "invert": False}
    steps = [split, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]
    edit(folder, lambda _: {"pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}}, "GPT2Tokenizer")


DIGITS = {"type": "Digits", "individual_digits": True}


def edit(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]], tokenizer_class: str) -> None:
    found = json.loads((BASE / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(found | change(found)))
    settings = json.loads((BASE / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": tokenizer_class, "unk_token": settings["eos_token"]}))


@pytest.mark.parametrize("make", [as_qwen, slow(digits_of_smollm), slow(pattern_of_llama_3)])
def test_other_tokens_are_measured_and_said(make: Callable[[Path], None], tmp_path: Path, context: RecordingContext) -> None:
    folder = tmp_path / "m"
    make(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if not (folder / name).exists():
            shutil.copy(BASE / name, folder / name)
    (tmp_path / "text.txt").write_text(TEXT)
    result = run(request(folder, tmp_path / "out", level="F32", text=str(tmp_path / "text.txt")), context)
    assert any("the tokenizer in the file splits text into other tokens than transformers'" in note for note in result.notes)
    assert result.metrics.kl_mean == pytest.approx(0, abs=1e-9)
    assert_measured_as_written(result, folder, str(tmp_path / "text.txt"), context)
    of_folder = evaluate(EvaluateSpec(model=str(folder), text=str(tmp_path / "text.txt"), tokens=512, context=64), context)
    assert "into other tokens than tokenizer.json" in of_folder.warnings[0]


def test_a_sentencepiece_normalizer_that_gguf_has_no_place_for_is_said(tmp_path: Path, context: RecordingContext) -> None:
    folder = make_model(tmp_path / "m", "llama", attention_bias=False)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.save(str(folder / "tokenizer.json"))
    result = run(request(folder, tmp_path / "out", level="F32"), context)
    assert "other tokens than transformers'" in result.notes[0]
    assert_measured_as_written(result, folder, "builtin", context)


@pytest.mark.llama
def test_llama_cpp_runs_the_file_as_it_is_read_here(tmp_path: Path, context: RecordingContext) -> None:
    folder = make_model(tmp_path / "m", "phi3", sliding_window=24)
    assert len(run(request(folder, tmp_path / "out", level="Q8_0"), context).notes) == 2


@pytest.mark.llama
def test_a_file_that_llama_cpp_cannot_open_is_said(tiny_llama_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.formats.gguf.write.tokenizer._name_by_tokens", lambda *_: "phi3")
    result = run(request(tiny_llama_dir, tmp_path / "out", level="F16", eval_tokens=0), RecordingContext(tmp_path))
    assert any("llama.cpp could not open the file: llama.cpp's process failed with code 1" in note for note in result.notes)


def test_what_llama_cpp_says_of_a_window_is_compared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"")
    windows, nll = torch.zeros(2, 4, dtype=torch.int64), torch.tensor([1.0, 2.0, 3.0, 9.0, 9.0, 9.0], dtype=torch.float64)
    answers: dict[str, Any] = {"same": [[1.01, 1.99, 3.0]], "other": [[1.5, 1.5, 3.0]], "crash": RunFailed("gone"), "cancel": Cancelled("x")}
    monkeypatch.setattr(llama_process, "is_installed", lambda: True)

    def notes(name: str) -> list[str]:
        def score(*_: object, **__: object) -> list[list[float]]:
            if isinstance(answers[name], BaseException):
                raise answers[name]
            found: list[list[float]] = answers[name]
            return found

        monkeypatch.setattr(llama_process, "score", score)
        return GgufReading(tmp_path / "m.gguf").notes(windows, nll, lambda _: None)

    assert notes("same") == []
    assert "2.000 nats per token in the first window instead of 2.000, 0.333 apart" in notes("other")[0]
    assert notes("crash") == ["llama.cpp could not run the file: gone"]
    with pytest.raises(Cancelled):
        notes("cancel")
    monkeypatch.setattr(llama_process, "is_installed", lambda: False)
    assert notes("other") == []
