"""FP8, NF4 and LLM.int8() from request to checkpoint: what is evaluated is what transformers and a plain reading compute."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from core.errors import RequestError
from core.formats.registry import read_format
from core.formats.weights import QuantizedWeights
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.models.stream.streaming import StreamedModel
from core.quantize.check import check
from core.quantize.linear.grids import grid_of
from core.quantize.pipeline.schemes import scheme_of
from core.quantize.pipeline.solvers import linear_solver
from core.quantize.pipeline.written import written_as
from core.quantize.result import QuantizeResult
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.core.quantize.conftest import RecordingContext

SMALL = {"calibration_samples": 4, "calibration_length": 64, "context": 64, "eval_tokens": 512}


def spec_for(model: Path, **values: object) -> QuantizeSpec:
    return QuantizeSpec(model=str(model), **(SMALL | values))


def our_logits(model: Path, spec: QuantizeSpec, result: QuantizeResult, tokens: torch.Tensor) -> torch.Tensor:
    with StreamedModel.open(model, torch.float32) as original:
        quantized = written_as(Path(result.out), scheme_of(spec)).open(original)
        inputs = quantized.capture(tokens)
        hidden = inputs.hidden
        for index in range(quantized.n_blocks):
            hidden = quantized.run_block(quantized.load_block(index), hidden, index, inputs)
        return quantized.logits(hidden)


FP8 = [
    {"granularity": "channel", "activation_bits": 8},
    {"granularity": "tensor", "activation_scales": "static"},
    {"granularity": "channel"},
    pytest.param({"granularity": "channel", "activation_scales": "static"}, marks=pytest.mark.slow),
    pytest.param({"granularity": "tensor", "activation_bits": 8}, marks=pytest.mark.slow),
    pytest.param({"granularity": "tensor"}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("values", FP8, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_transformers_computes_the_fp8_model_that_was_evaluated(values: dict[str, object], tiny_llama_dir: Path, context: RecordingContext) -> None:
    from transformers import AutoModelForCausalLM

    spec = spec_for(tiny_llama_dir, method="fp8", **values)
    result = run(spec, context)
    assert result.scheme == "float-quantized"
    tokens = torch.arange(2 * 40).view(2, 40)
    model = AutoModelForCausalLM.from_pretrained(result.out, dtype=torch.float32).eval()
    with torch.no_grad():
        theirs = model(tokens).logits
    torch.testing.assert_close(theirs, our_logits(tiny_llama_dir, spec, result, tokens), rtol=1e-4, atol=1e-4)
    assert (result.calibration is not None) == (spec.activation_scales == "static")
    assert 8 < result.metrics.bits_per_quantized_weight < 8.6


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        ({"method": "nf4"}, 4.0),
        ({"method": "nf4", "double_quant": False, "group_size": 128}, 4.25),
        ({"method": "nf4", "double_quant": False}, 4.5),
        ({"method": "int8"}, 8.0),
    ],
    ids=str,
)
def test_bitsandbytes_checkpoints_are_read_back_as_evaluated(
    values: dict[str, object], bits: float, tiny_llama_dir: Path, context: RecordingContext
) -> None:
    spec = spec_for(tiny_llama_dir, **values)
    result = run(spec, context)
    folder = Path(result.out)
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    assert config["quant_method"] == "bitsandbytes"
    assert config["llm_int8_skip_modules"] == ["lm_head"]
    read = QuantizedWeights(folder, read_format(config, folder))
    assert len(read.linears) == 14
    for name in read.linears:
        with StreamedModel.open(tiny_llama_dir, torch.float32) as original:
            weight = original.read_tensor(f"{name}.weight").float()
        solver = linear_solver(spec.method)
        expected = solver.quantize(weight, None, solver.config(spec, grid_of(spec, torch.bfloat16), name))
        assert torch.equal(read[f"{name}.weight"], expected.dequantize())
    assert bits <= result.metrics.bits_per_quantized_weight
    assert result.metrics.ppl_ratio == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"method": "fp8", "fp8_format": "e5m2"}, "E4M3"),
        ({"method": "fp8", "granularity": "block", "activation_scales": "static"}, "blocks"),
        ({"method": "fp8", "granularity": "block", "group_size": 64}, "128 x 128"),
        ({"method": "nf4", "bits": 8}, "4 bits"),
        ({"method": "nf4", "group_size": 100}, "64, 128"),
    ],
)
def test_what_no_format_holds_is_refused_with_an_alternative(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        QuantizeSpec.parse({"model": "bundled:base", **values})


def test_blocks_beside_rounded_inputs_need_rows_of_128(tiny_llama_dir: Path) -> None:
    card: ModelCard = resolve(str(tiny_llama_dir)).card()
    with pytest.raises(RequestError, match="choose granularity channel"):
        check(spec_for(tiny_llama_dir, method="fp8", granularity="block", activation_bits=8), card)
    check(spec_for(tiny_llama_dir, method="fp8", granularity="block"), card)
