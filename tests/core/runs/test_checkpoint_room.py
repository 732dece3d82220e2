"""A run that was killed in the instant between finishing its checkpoint and remembering it resumes, and loses nobody's files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import core.distill.run
import core.prune.run
import core.quantize.run
from core.distill.spec import DistillSpec
from core.errors import RequestError
from core.prune.spec import PruneSpec
from core.quantize.spec import QuantizeSpec
from core.runs.checkpoint_room import make_room
from core.runs.resume_store import ResumeStore
from tests.core.conftest import RecordingContext

_PRUNE = {"calibration_samples": 4, "calibration_length": 32, "eval_tokens": 0}
RUNS: dict[str, tuple[Callable[..., Any], Any, dict[str, Any], str]] = {
    "prune": (core.prune.run.run, PruneSpec, {**_PRUNE, "method": "magnitude", "speed_tokens": 0}, "core.prune.run.remember_checkpoint"),
    "quantize": (core.quantize.run.run, QuantizeSpec, {**_PRUNE, "method": "rtn", "group_size": 32}, "core.quantize.run.remember_checkpoint"),
    "distill": (
        core.distill.run.run,
        DistillSpec,
        {"layers": 1, "steps": 1, "tokens_per_step": 64, "length": 32, "held_out": 2, "eval_tokens": 0},
        "core.distill.run.remember_checkpoint",
    ),
}


class Killed(BaseException):
    """As if the process ended here."""


def kill(*_: object, **__: object) -> None:
    raise Killed


def stopped(tmp_path: Path) -> RecordingContext:
    context = RecordingContext(tmp_path / "artifacts")
    context.artifacts.mkdir(exist_ok=True)
    context.kept = tmp_path / "kept"
    return context


@pytest.mark.parametrize("chosen", [False, True], ids=["in the run", "chosen by the user"])
@pytest.mark.parametrize("kind", RUNS)
def test_it_resumes(kind: str, chosen: bool, tiny_llama_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, spec_class, values, remembered = RUNS[kind]
    spec = spec_class.model_validate({"model": str(tiny_llama_dir), "out": str(tmp_path / "out") if chosen else None, **values})
    with monkeypatch.context() as patch:
        patch.setattr(remembered, kill)
        with pytest.raises(Killed):
            run(spec, stopped(tmp_path))
    context = stopped(tmp_path)
    result = run(spec, context)
    assert (Path(result.out) / "model.safetensors").is_file()
    assert (tmp_path / "out.before-1").is_dir() == chosen
    assert any("was moved to" in line for line in context.lines) == chosen


def test_what_the_run_never_began_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(RequestError, match="exists"):
        make_room(ResumeStore(), tmp_path / "out", tmp_path, print)
    assert (tmp_path / "out").is_dir()
