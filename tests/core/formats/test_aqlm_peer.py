"""Our AQLM checkpoints in transformers with the package aqlm, logits against logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.core.quantize.conftest import RecordingContext
from tests.peers import environments
from tests.peers.ours import dequantized_log_probabilities

SHAPES = {
    "kernels": {"codebooks": 2, "codebook_bits": 8, "codebook_vector": 8},
    "one-codebook": {"codebooks": 1, "codebook_bits": 8, "codebook_vector": 4},
    "two-rows": {"codebooks": 1, "codebook_bits": 7, "codebook_rows": 2, "codebook_vector": 2},
    "sixteen-bit-codes": {"codebooks": 1, "codebook_bits": 9, "codebook_vector": 4},
}


@pytest.mark.engines
@pytest.mark.parametrize("tokens", [4, 40], ids=["gemv", "gemm"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_package_computes_what_we_do(shape: str, tokens: int, tiny_llama_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if environments.missing(["aqlm"]):
        pytest.skip(f"{environments.variable('aqlm')} names no Python with transformers, accelerate and aqlm[cpu]")
    # The CPU kernel of aqlm 1.1.7 adds to one sum from several threads at once: with more than one its results are chance.
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    values = {"model": str(tiny_llama_dir), "method": "additive", "calibration_samples": 4, "calibration_length": 64, "eval_tokens": 0}
    result = run(QuantizeSpec.model_validate(values | SHAPES[shape]), RecordingContext(tmp_path))
    windows = torch.arange(2 * tokens).view(2, tokens)
    ours = dequantized_log_probabilities(Path(result.out), windows)
    theirs = environments.logits("aqlm", Path(result.out), windows)
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)
