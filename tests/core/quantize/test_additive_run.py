"""Additive codebooks end to end: the request settled by the model, the checkpoint in AQLM's schema, and its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.errors import RequestError
from core.formats.registry import read_format
from core.models.resolve import resolve
from core.quantize.check import check
from core.quantize.plan.additive_shape import CodebookShape, affordable
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.core.quantize.conftest import RecordingContext

SMALL = {"calibration_samples": 4, "calibration_length": 64, "context": 64, "eval_tokens": 512}
BASE = [(256, 256), (128, 256), (128, 256), (256, 256), (512, 256), (512, 256), (256, 512)] * 10
LLAMA_8B = [(4096, 4096), (1024, 4096), (1024, 4096), (4096, 4096), (14336, 4096), (14336, 4096), (4096, 14336)] * 32


def spec_for(model: Path, **values: object) -> QuantizeSpec:
    return QuantizeSpec.model_validate({"model": str(model), "method": "additive"} | SMALL | values)


def test_a_checkpoint_in_the_schema_of_aqlm(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir), context)
    folder = Path(result.out)
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    tensors = load_file(folder / "model.safetensors")
    linear = "model.layers.1.mlp.down_proj"
    codes, codebooks, scales = (tensors[f"{linear}.{kind}"] for kind in ("codes", "codebooks", "scales"))
    assert config["quant_method"] == result.format == "aqlm"
    assert config["linear_weights_not_to_quantize"] == ["lm_head", "lm_head.weight"]
    assert codes.dtype == torch.int8
    assert tuple(codes.shape) == (64 // config["out_group_size"], 128 // config["in_group_size"], config["num_codebooks"])
    shape = (config["num_codebooks"], 2 ** config["nbits_per_codebook"], config["out_group_size"], config["in_group_size"])
    assert tuple(codebooks.shape) == shape
    assert tuple(scales.shape) == (codes.shape[0], 1, 1, 1)
    assert f"{linear}.weight" not in tensors
    assert "model.norm.weight" in tensors
    assert result.metrics.bytes_after == (folder / "model.safetensors").stat().st_size
    again = read_format(config, folder).decompress(linear, tensors)
    assert again.shape == (64, 128)
    figures = next(layer for layer in result.layers if layer.name == linear)
    assert figures.bytes == again.nbytes


def test_the_predicted_size_is_the_written_one(tiny_llama_dir: Path, context: RecordingContext) -> None:
    spec = spec_for(tiny_llama_dir, eval_tokens=0, codebooks=2, codebook_bits=5, codebook_vector=8)
    result = run(spec, context)
    fit = check(spec, resolve(str(tiny_llama_dir)).card())
    kept = sum(tensor.nbytes for name, tensor in load_file(Path(result.out) / "model.safetensors").items() if not name.startswith("model.layers"))
    norms = 2 * 2 * 64 * 2
    assert fit.bytes_after == sum(layer.bytes for layer in result.layers) + kept + norms


@pytest.mark.parametrize(("matrices", "bits"), [(BASE, 2), (BASE, 3), (LLAMA_8B, 2), (LLAMA_8B, 4)])
def test_codebooks_never_take_more_than_a_grid_of_groups_would(matrices: list[tuple[int, int]], bits: int) -> None:
    shape = affordable(matrices, bits)
    weights = sum(rows * columns for rows, columns in matrices)
    assert 8 * sum(shape.stored_bytes(*matrix) for matrix in matrices) <= weights * (bits + 16 / 128)


def test_wide_models_get_the_shape_that_kernels_exist_for() -> None:
    assert affordable(LLAMA_8B, 2) == CodebookShape(2, 8, 1, 8)


def test_given_numbers_are_kept_and_the_rest_follows(tiny_llama_dir: Path) -> None:
    card = resolve(str(tiny_llama_dir)).card()
    spec = spec_for(tiny_llama_dir, codebook_vector=4).settled(card)
    assert (spec.codebooks, spec.codebook_bits, spec.codebook_rows, spec.codebook_vector) == (1, 8, 1, 4)
    assert spec.settled(card) == spec
    plain = QuantizeSpec(model=str(tiny_llama_dir), method="gptq")
    assert plain.settled(card) == plain


def test_tiles_that_do_not_divide_are_refused_before_any_work(tiny_llama_dir: Path, context: RecordingContext) -> None:
    with pytest.raises(RequestError, match=r"tiles of 1 x 7 .* divide 32 and 64"):
        run(spec_for(tiny_llama_dir, codebook_vector=7), context)
    assert not context.made


@pytest.mark.slow
def test_beats_gptq_at_no_more_bits_on_the_bundled_model(context: RecordingContext) -> None:
    common = {"model": "bundled:base", "eval_tokens": 8192, "calibration_samples": 32}
    additive = run(QuantizeSpec.model_validate(common | {"method": "additive"}), context)
    gptq = run(QuantizeSpec.model_validate(common | {"method": "gptq", "bits": 2}), context)
    assert additive.metrics.bits_per_quantized_weight <= gptq.metrics.bits_per_quantized_weight
    assert additive.metrics.ppl_after is not None
    assert gptq.metrics.ppl_after is not None
    assert additive.metrics.ppl_after < gptq.metrics.ppl_after


def test_says_where_the_package_has_no_kernel(tiny_llama_dir: Path) -> None:
    card = resolve(str(tiny_llama_dir)).card()
    plain = check(spec_for(tiny_llama_dir, codebooks=2, codebook_bits=8, codebook_vector=8), card)
    assert not any("no kernel" in warning for warning in plain.warnings)
    odd = check(spec_for(tiny_llama_dir, codebook_bits=7, codebook_rows=2, codebook_vector=2), card)
    assert any("1 codebook of 128 vectors for tiles of 2 x 2 weights" in warning for warning in odd.warnings)
