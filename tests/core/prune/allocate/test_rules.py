"""Rules on a real model: totals, resuming, and that measuring pays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.calibration.windows import windows_for
from core.models.resolve import resolve
from core.models.stream.streaming import StreamedModel
from core.prune.allocate.trial import Change, Trial
from core.prune.run import run
from tests.core.conftest import RecordingContext
from tests.core.prune.requests import spec_for


@pytest.mark.parametrize("method", ["wanda", "sparsegpt", "magnitude"])
@pytest.mark.parametrize("allocation", ["owl", "atp", "sensitivity"])
def test_the_written_model_has_the_asked_for_total(allocation: str, method: str, tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, method=method, allocation=allocation, sparsity=0.6, eval_tokens=0), context)
    tensors = {name: tensor for name, tensor in load_file(Path(result.out) / "model.safetensors").items() if "_proj" in name}
    zeros, total = sum(int((tensor == 0).sum()) for tensor in tensors.values()), sum(tensor.numel() for tensor in tensors.values())
    assert zeros / total == pytest.approx(0.6, abs=max(tensor.shape[0] for tensor in tensors.values()) / total)
    done, totals = [step[0] for step in context.steps], {step[1] for step in context.steps}
    assert totals == {done[-1]}


def test_a_trial_measures_the_divergence_of_the_model_that_it_describes(tiny_llama_dir: Path) -> None:
    source = resolve(str(tiny_llama_dir))
    windows, _ = windows_for(source, "builtin", 3, 48, 0)
    with StreamedModel.open(source, torch.float32) as streamed:
        trial = Trial(streamed, windows)
        alone, lower, higher = trial.divergences([0.5, 0.5], [Change(0, 0.3), Change(1, 0.8)])
        assert trial.divergences([0.3, 0.5])[0] == pytest.approx(lower, rel=0.1)  # whose later masks are those of the unchanged model
        assert trial.divergences([0.5, 0.8])[0] == pytest.approx(higher, rel=1e-5)
        assert trial.divergences([0.5, 0.5])[0] == pytest.approx(alone, rel=1e-6)
        assert trial.divergences([0.0, 0.0])[0] == pytest.approx(0, abs=1e-9)
        assert lower < alone < higher


def test_parts_of_the_changes_give_the_same_figures(tiny_llama_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.prune.allocate import trial as module

    source = resolve(str(tiny_llama_dir))
    windows, _ = windows_for(source, "builtin", 2, 32, 0)
    changes = [Change(index, share) for index in (0, 1) for share in (0.4, 0.6)]
    with StreamedModel.open(source, torch.float32) as streamed:
        trial = Trial(streamed, windows)
        together = trial.divergences([0.5, 0.5], changes)[1:]
        monkeypatch.setattr(module, "HELD_BYTES", {"cpu": 1})
        assert trial.at_once == 1
        apart = [trial.divergences([0.5, 0.5], [change])[1] for change in changes]
    assert together == pytest.approx(apart, rel=1e-6)
