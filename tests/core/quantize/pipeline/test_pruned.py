"""A pruned checkpoint quantized: which methods keep its zeros, and what the result says of those that do not."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from core.formats.registry import read_format
from core.formats.weights import QuantizedWeights
from core.prune.weights import magnitude
from core.prune.weights.config import MaskConfig
from core.prune.weights.pattern import Pattern
from core.quantize.pipeline.kept_zeros import notes_on_zeros, sparsity_of
from core.quantize.result import LayerFigures
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.core.quantize.conftest import RecordingContext

SMALL = {"calibration_samples": 4, "calibration_length": 64, "context": 64, "eval_tokens": 256}
LINEAR = re.compile(r"layers\.\d+\.(self_attn|mlp)\.\w+_proj\.weight$")


@pytest.fixture
def pruned_dir(tiny_llama_dir: Path, tmp_path: Path) -> Path:
    """The tiny Llama with 2 of 4 weights kept in every linear of its blocks."""
    folder = tmp_path / "pruned"
    shutil.copytree(tiny_llama_dir, folder)
    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        for name, tensor in tensors.items():
            if LINEAR.search(name):
                tensors[name] = magnitude.prune(tensor, None, MaskConfig(Pattern(keep=(2, 4)))).weight.to(tensor.dtype)
        save_file(tensors, file, metadata={"format": "pt"})
    return folder


def zeros_and_kept(before: Path, after: Path) -> tuple[int, int]:
    """Exact zeros of the linears of a pruned folder, and how many of them a quantized one still has."""
    zeros = kept = 0
    quantized = QuantizedWeights(after, read_format(json.loads((after / "config.json").read_text())["quantization_config"], after))
    for file in before.glob("*.safetensors"):
        for name, tensor in load_file(file).items():
            if LINEAR.search(name):
                removed = tensor == 0
                zeros += int(removed.sum())
                kept += int((quantized[name][removed] == 0).sum())
    return zeros, kept


KEEPING = [
    {"method": "gptq", "group_size": 32, "symmetric": True},
    {"method": "gptq", "group_size": 32, "symmetric": False},
    pytest.param({"method": "gptq", "group_size": 32, "act_order": True}, marks=pytest.mark.slow),
    {"method": "gptq", "group_size": 32, "act_order": True, "static_groups": False, "format": "gptq", "symmetric": False},
    pytest.param({"method": "gptq", "bits": 3, "granularity": "channel"}, marks=pytest.mark.slow),
    {"method": "rtn", "group_size": 32, "symmetric": False},
    pytest.param({"method": "awq", "group_size": 32, "symmetric": False}, marks=pytest.mark.slow),
    pytest.param({"method": "smoothquant", "bits": 8, "granularity": "channel", "activation_bits": 8}, marks=pytest.mark.slow),
    pytest.param({"method": "fp8", "granularity": "channel"}, marks=pytest.mark.slow),
    pytest.param({"method": "nf4"}, marks=pytest.mark.slow),
    pytest.param({"method": "int8"}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("values", KEEPING, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_zeros_are_kept(values: dict[str, object], pruned_dir: Path, context: RecordingContext) -> None:
    result = run(QuantizeSpec(model=str(pruned_dir), **(SMALL | values)), context)
    zeros, kept = zeros_and_kept(pruned_dir, Path(result.out))
    assert zeros > 0
    assert kept == zeros
    assert result.metrics.sparsity == pytest.approx(0.5)
    assert any(note.startswith("keeps its zeros: 50 % of the weights of") for note in result.notes)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_method_that_loses_zeros_says_how_many(pruned_dir: Path, context: RecordingContext) -> None:
    result = run(QuantizeSpec(model=str(pruned_dir), method="additive", bits=2, **SMALL), context)
    zeros, kept = zeros_and_kept(pruned_dir, Path(result.out))
    assert kept < zeros
    note = next(note for note in result.notes if "became other values" in note)
    assert note.startswith(f"{100 * (zeros - kept) / zeros:.3g} % of the zeros")
    assert result.metrics.sparsity == pytest.approx(0.5 * kept / zeros)


def test_a_model_that_was_not_pruned_says_nothing_of_zeros(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(QuantizeSpec(model=str(tiny_llama_dir), method="rtn", group_size=32, **SMALL), context)
    assert result.metrics.sparsity is None
    assert not any("zeros" in note for note in result.notes)


def test_notes_count_all_pruned_linears() -> None:
    shape = {"error": 0.1, "weight_error": 0.1, "bytes": 10, "rows": 10, "columns": 10}
    dense, old = LayerFigures(name="dense", zeros=0, zeros_kept=0, **shape), LayerFigures(name="old", **shape)
    half = LayerFigures(name="half", zeros=50, zeros_kept=20, **shape)
    assert notes_on_zeros([dense, old]) == []
    assert sparsity_of([dense, old]) is None
    assert sparsity_of([dense, half]) == 0.1
    assert notes_on_zeros([dense, half])[0].startswith(
        "60 % of the zeros of 1 pruned linear became other values: 50 % of their weights were zero, 20 %"
    )
