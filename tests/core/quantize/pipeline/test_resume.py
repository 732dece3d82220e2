"""A quantization that was stopped goes on from its last finished block, and its checkpoint is the one that was asked for, bit for bit."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core.errors import Cancelled, RequestError
from core.quantize.pipeline.items import BlockFacts
from core.quantize.result import LayerFigures
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from core.runs.launch.launch import LocalLauncher, refresh
from core.runs.launch.resume import resume
from core.runs.resume_store import ResumeStore
from core.runs.state import store as runs
from tests.conftest import TINY_LLAMA
from tests.core.quantize.conftest import RecordingContext

SMALL: dict[str, Any] = {"group_size": 32, "calibration_samples": 4, "calibration_length": 64, "context": 64, "eval_tokens": 256}
SMALL |= {"calibration": __file__, "text": __file__}
FIGURES = LayerFigures(name="a", error=0.1, weight_error=0.2, bytes=3, rows=4, columns=5)


def layers_told(context: RecordingContext) -> int:
    return sum(name == "layer_error" for name, *_ in context.metrics)


def stop_at(linears: int) -> Callable[[RecordingContext], bool]:
    return lambda context: layers_told(context) == linears


def test_blocks_kept_by_an_earlier_version_are_read(tmp_path: Path) -> None:
    save_file({"a.weight": torch.ones(2)}, tmp_path / "block-00000.safetensors")
    digest = hashlib.sha256((tmp_path / "block-00000.safetensors").read_bytes()).hexdigest()
    facts = {"linears": ["a"], "changed": ["norm.weight"], "notes": ["a: note"], "layers": [FIGURES.model_dump(mode="json")]}
    block = {"file": "block-00000.safetensors", "sha256": digest, "tensors": ["a.weight"], **facts}
    manifest = {"schema": "llmopt.resume/1", "identity": {}, "seconds": 1.5, "blocks": [block], "hidden": None, "documents": {"plan": [1]}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    store = ResumeStore(tmp_path, {})
    found = store.block(0, BlockFacts)
    assert torch.equal(found.tensors["a.weight"], torch.ones(2))
    assert found.facts == BlockFacts(linears=["a"], changed=["norm.weight"], layers=[FIGURES], notes=["a: note"])
    assert store.get("plan") == [1]
    assert store.seconds_before == 1.5


@pytest.mark.parametrize("method", ["gptq", "rtn", "awq"])
def test_a_cancelled_run_goes_on_and_ends_with_the_same_files(method: str, tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    uninterrupted = run(QuantizeSpec(model=str(tiny_llama_dir), method=method, out=str(tmp_path / "whole"), **SMALL), context)
    spec = QuantizeSpec(model=str(tiny_llama_dir), method=method, out=str(tmp_path / "resumed"), **SMALL)
    context.metrics.clear()
    context.kept = tmp_path / "kept"
    context.cancel_when = stop_at(9)
    with pytest.raises(Cancelled):
        run(spec, context)
    assert not (tmp_path / "resumed").exists()
    assert len(json.loads((tmp_path / "kept" / "manifest.json").read_text())["blocks"]) == 1

    context.metrics.clear()
    context.steps.clear()
    context.cancel_when = lambda _context: False
    result = run(spec, context)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "resumed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert result.layers == uninterrupted.layers
    assert result.notes == uninterrupted.notes
    assert result.metrics.ppl_after == uninterrupted.metrics.ppl_after
    assert layers_told(context) == 14
    assert context.steps[-1][0] == context.steps[-1][1]
    assert result.metrics.seconds > 0


def test_a_run_that_was_stopped_while_it_evaluated_keeps_its_checkpoint(tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    spec = QuantizeSpec(model=str(tiny_llama_dir), out=str(tmp_path / "made"), **SMALL)
    context.kept = tmp_path / "kept"
    context.cancel_when = lambda context: bool(context.steps) and context.steps[-1][2].startswith("evaluating")
    with pytest.raises(Cancelled):
        run(spec, context)
    stamp = (tmp_path / "made" / "model.safetensors").stat().st_mtime_ns
    context.metrics.clear()
    context.cancel_when = lambda _context: False
    result = run(spec, context)
    assert (tmp_path / "made" / "model.safetensors").stat().st_mtime_ns == stamp
    assert layers_told(context) == 0
    assert len(result.layers) == 14
    assert result.metrics.kl_mean is not None
    assert "GPTQ" in (tmp_path / "made" / "README.md").read_text()


def test_a_changed_model_is_not_gone_on_with(tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_llama_dir, model)
    context.kept = tmp_path / "kept"
    context.cancel_when = stop_at(9)
    with pytest.raises(Cancelled):
        run(QuantizeSpec(model=str(model), **SMALL), context)
    os.utime(model / "model.safetensors")
    context.cancel_when = lambda _context: False
    with pytest.raises(RequestError, match="the files of the model changed"):
        run(QuantizeSpec(model=str(model), **SMALL), context)


@pytest.fixture(scope="module")
def deep_dir(tiny_llama_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Deep enough to be killed in the middle."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "deep"
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**TINY_LLAMA | {"num_hidden_layers": 16})).bfloat16().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_llama_dir / name, folder)
    return folder


@pytest.mark.slow
def test_a_killed_worker_is_resumed_under_its_own_id(deep_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    spec = SMALL | {"model": str(deep_dir), "eval_tokens": 0, "calibration": argparse.__file__, "calibration_samples": 64, "calibration_length": 128}
    run(QuantizeSpec(**spec, out=str(tmp_path / "whole")), context)
    launcher, stopped = LocalLauncher(), runs.create(QuantizeSpec(**spec))
    launcher.start(stopped)
    manifest = stopped.kept / "manifest.json"
    deadline = time.monotonic() + 60
    while not (manifest.exists() and len(json.loads(manifest.read_text())["blocks"]) >= 3):
        assert time.monotonic() < deadline
        assert not stopped.state.is_over
        time.sleep(0.002)
    pid = stopped.state.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert _over(stopped).status == "failed"
    assert 3 <= len(json.loads(manifest.read_text())["blocks"]) < 16
    assert list(stopped.artifacts.iterdir()) == []

    before = stopped.events_file.stat().st_size
    resume(stopped, launcher)
    assert _over(stopped).status == "done"
    assert stopped.result is not None
    made = Path(stopped.result["out"])
    assert (made / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert not stopped.kept.exists()
    assert stopped.events_file.stat().st_size > before
    with pytest.raises(RequestError, match="is done"):
        resume(stopped, launcher)


def _over(run: runs.Run) -> Any:
    deadline = time.monotonic() + 60
    while not (state := refresh(run)).is_over:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return state
