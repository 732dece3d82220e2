"""A recovery learns from and reports the divergence from the original at every position that has a next token, computed here from probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from core.context import RunContext
from core.prune.recovery.recover import recover
from core.prune.run import run
from core.runs.steps import Steps
from core.training.batches import window_batches
from tests.core.conftest import RecordingContext
from tests.core.prune.requests import spec_for


def model_of(folder: Path) -> PreTrainedModel:
    return cast("PreTrainedModel", AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval())


@torch.no_grad()
def divergence(original: PreTrainedModel, pruned: PreTrainedModel, tokens: Tensor) -> float:
    p, q = (model(input_ids=tokens).logits[:, :-1].double().softmax(-1) for model in (original, pruned))
    return float((p * (p / q).log()).sum(-1).mean())


def test_losses_are_the_divergence_at_positions_with_a_next_token(tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    pruned = Path(run(spec_for(tiny_llama_dir, method="magnitude", sparsity=0.8, eval_tokens=0, out=str(tmp_path / "pruned")), context).out)
    windows = torch.randint(2, 258, (20, 32), generator=torch.Generator().manual_seed(1))
    spec = spec_for(tiny_llama_dir, method="magnitude", sparsity=0.8, recover_steps=3, recover_tokens=128)
    found = recover(spec, tiny_llama_dir, pruned, tmp_path / "recovered", windows, "cpu", Steps(cast("RunContext", context), 3))
    models = model_of(tiny_llama_dir), model_of(pruned)
    assert found.kl_before == pytest.approx(divergence(*models, windows[-8:]), rel=1e-4)
    first = next(value for name, value, _, _ in context.metrics if name == "recovery_loss")
    assert first == pytest.approx(divergence(*models, window_batches(windows[:-8], 4, spec.seed)(0).tokens), rel=1e-4)
    assert found.kl_after == pytest.approx(divergence(models[0], model_of(tmp_path / "recovered"), windows[-8:]), rel=0.02)
    assert found.kl_after < found.kl_before
