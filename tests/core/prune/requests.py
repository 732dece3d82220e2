"""Small requests, so that a whole run takes a second."""

from __future__ import annotations

from pathlib import Path

from core.prune.spec import PruneSpec

SMALL = {"calibration_samples": 4, "calibration_length": 64, "context": 64, "eval_tokens": 512, "speed_tokens": 0}


def spec_for(model: Path, **values: object) -> PruneSpec:
    """A request on a small model."""
    return PruneSpec.model_validate({"model": str(model), **SMALL, **values})
