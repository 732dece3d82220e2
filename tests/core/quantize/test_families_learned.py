"""Methods that learn, training through the rounding and additive codebooks, on decoders of several families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.core.quantize.conftest import RecordingContext
from tests.core.quantize.test_families import FAMILIES, make

METHODS: dict[str, dict[str, Any]] = {"qat": {"train_steps": 2, "group_size": 32, "calibration_samples": 8}, "additive": {"calibration_samples": 4}}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["gemma2", "phi3", "opt", "falcon", "gpt_neox"])
@pytest.mark.filterwarnings("ignore")
def test_a_family_is_learned(family: str, method: str, tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    make(family, FAMILIES[family], tiny_llama_dir, tmp_path / family)
    values = {"model": str(tmp_path / family), "method": method, "calibration_length": 48, "context": 48, "eval_tokens": 192}
    result = run(QuantizeSpec.model_validate(values | METHODS[method]), context)
    assert result.metrics.kl_mean is not None
    assert 0 < result.metrics.kl_mean < 1
    assert all(0 < layer.error < 1 for layer in result.layers)
