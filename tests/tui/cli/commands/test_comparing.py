"""`llmopt benchmark-compare`: formats are made once, what cannot be made is said, a comparison is printed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import RequestError
from core.result import Artifact
from core.runs.registry import spec_class
from core.runs.state import store
from core.runs.state.files import write_json
from core.runs.state.store import Run
from tests.core.benchmark.report.test_report import compared, run_of, sweep
from tests.tui.cli.conftest import Llmopt
from tests.tui.quantize.made import result_of
from tui.cli.commands import compare_engines as comparing

MODEL = "bundled:base"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the comparison itself is asked for."""
    found: list[dict[str, Any]] = []

    def experiment(key: str, model: str | None, given: dict[str, Any]) -> int:
        assert key == "benchmark-compare"
        found.append({"model": model} | given)
        return 0

    monkeypatch.setattr("tui.cli.experiment.experiment", experiment)
    return found


def finished(spec: Any, folder: str = "checkpoint", gguf: bool = False) -> Run:
    run = store.create(spec)
    out = run.artifacts / folder
    out.mkdir(parents=True)
    if gguf:
        (out / "model.gguf").write_bytes(b"GGUF")
        (out / "imatrix.gguf").write_bytes(b"GGUF")
    found = result_of(spec, run.id, checkpoint=str(out)).model_copy(update={"artifacts": (Artifact(path=str(out), kind="checkpoint"),)})
    write_json(run.path / "result.json", found.model_dump(mode="json"))
    run.save_state(run.state.model_copy(update={"status": "done", "exit_code": 0}))
    return run


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Specs of quantize that were carried out."""
    specs: list[Any] = []

    def make(spec: Any) -> Run:
        specs.append(spec)
        if spec.method == "gguf" and spec.level == "Q4_K_M":
            raise RequestError("llama.cpp is missing, which Q4_K_M needs")
        return finished(spec, gguf=spec.method == "gguf")

    monkeypatch.setattr(comparing, "_made", make)
    monkeypatch.setattr(comparing, "admit", lambda _spec: None)
    return specs


def test_formats_are_made_first_and_taken_again(llmopt: Llmopt, asked: list[dict[str, Any]], made: list[Any]) -> None:
    assert llmopt("benchmark-compare", MODEL, "--requests", "8").code == 0
    assert [(spec.method, spec.bits if spec.method != "gguf" else spec.level) for spec in made] == [
        ("rtn", 8),
        ("gptq", 4),
        ("gguf", "F16"),
        ("gguf", "Q8_0"),
        ("gguf", "Q4_K_M"),
    ]
    (request,) = asked
    assert request["requests"] == 8
    names = [target.split(":")[0] for target in request["targets"]]
    assert names == [
        "transformers",
        "runtime",
        "vllm",
        "runtime INT8=runtime",
        "runtime INT4=runtime",
        "llama.cpp F16=llama-cpp",
        "llama.cpp Q8_0=llama-cpp",
    ]
    assert all(Path(target.split(":", 1)[1]).name == "model.gguf" for target in request["targets"] if "llama.cpp" in target)
    assert request["not_made"] == ("llama.cpp Q4_K_M: llama.cpp is missing, which Q4_K_M needs",)
    answer = llmopt("benchmark-compare", MODEL, "--formats", "int8,q8_0")
    assert len(made) == 5
    assert "runtime INT8 is taken from run" in answer.err
    spec = spec_class("benchmark-compare").parse(asked[1])
    assert [target.label for target in spec.chosen] == ["transformers", "runtime", "vllm", "runtime INT8", "llama.cpp Q8_0"]  # type: ignore[attr-defined]


def test_with_targets_nothing_is_made(llmopt: Llmopt, asked: list[dict[str, Any]], made: list[Any]) -> None:
    assert llmopt("benchmark-compare", MODEL, "--targets", "runtime,transformers").code == 0
    assert llmopt("benchmark-compare", MODEL, "--formats", "none").code == 0
    assert made == []
    assert asked[0]["targets"] == ("runtime", "transformers")
    assert "targets" not in asked[1]


def test_a_model_that_was_written_later_is_quantized_again(made: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    comparing._checkpoint(MODEL, comparing.FORMATS["int8"], {})
    comparing._checkpoint(MODEL, comparing.FORMATS["int8"], {})
    assert len(made) == 1
    comparing._checkpoint(MODEL, comparing.FORMATS["int8"], {"seed": 5})
    assert len(made) == 2
    weights = tmp_path / "weights"
    weights.write_bytes(b"new")
    os.utime(weights, (time.time() + 60, time.time() + 60))
    monkeypatch.setattr(comparing, "resolve", lambda _name: SimpleNamespace(path=weights))
    comparing._checkpoint(MODEL, comparing.FORMATS["int8"], {})
    assert len(made) == 3


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--formats", "int7"), "there are int8"),
        (("--targets", "runtime:"), "is not a valid target"),
        (("--targets", "nobody"), "unknown engine"),
        (("--thresholds", "fast"), "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(
    llmopt: Llmopt, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], word: str
) -> None:
    def never(_spec: Any) -> Run:
        raise AssertionError

    monkeypatch.setattr(comparing, "_made", never)
    answer = llmopt("benchmark-compare", MODEL, *arguments)
    assert answer.code == 2
    assert word in answer.err


def test_a_comparison_is_printed_ranked_with_its_recommendation(llmopt: Llmopt) -> None:
    run = run_of(compared())
    answer = llmopt("runs", "show", run.id)
    assert answer.code == 0
    lines = answer.out.splitlines()
    places = [next(index for index, line in enumerate(lines) if line.startswith(f"engine {number}")) for number in (1, 2, 3)]
    assert places == sorted(places)
    assert "highest throughput" in answer.out
    assert "not measured: " in answer.out
    assert "\x1b" not in answer.out + answer.err


def test_a_sweep_is_printed_with_its_knee_thresholds_and_errors(llmopt: Llmopt) -> None:
    answer = llmopt("runs", "show", run_of(sweep()).id)
    assert answer.code == 0
    for word in ("knee of the sweep", "TTFT, ms", "NOT MET", "p99.9", "failed"):
        assert word in answer.out
    assert "\x1b" not in answer.out + answer.err


def test_several_runs_are_one_report(llmopt: Llmopt, tmp_path: Path) -> None:
    one, other = run_of(sweep(1)), run_of(compared())
    file = tmp_path / "report.html"
    assert llmopt("runs", "export", one.id, other.id, "--to", "html", "--out", str(file)).code == 0
    assert "engine 3" in file.read_text()
    answer = llmopt("runs", "compare", one.id, run_of(sweep(2)).id)
    assert answer.code == 0
    assert "within noise" in answer.out
