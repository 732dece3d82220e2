"""Small requests, so that a whole run takes a second."""

from __future__ import annotations

from pathlib import Path

from core.distill.spec import DistillSpec

SMALL = {
    "layers": 1,
    "steps": 6,
    "tokens_per_step": 128,
    "length": 32,
    "held_out": 4,
    "evaluations": 3,
    "context": 64,
    "eval_tokens": 512,
    "learning_rate": 3e-3,
}


def spec_for(model: Path, **values: object) -> DistillSpec:
    """A request with a small model as the teacher."""
    return DistillSpec.model_validate({"model": str(model), **SMALL, **values})
