"""auto-round's own description of GPTQ's and AWQ's tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import RequestError
from core.formats.layouts.awq import Awq
from core.formats.layouts.gptq import Gptq
from core.formats.registry import read_format
from core.numerics.grid import Grid
from core.numerics.tensor import QuantizedTensor
from core.quantize.linear.rtn import quantize

BASE = {
    "quant_method": "auto-round",
    "autoround_version": "0.9.2",
    "bits": 4,
    "group_size": 32,
    "sym": True,
    "data_type": "int",
    "block_name_to_quantize": "model.layers",
    "iters": 200,
    "batch_size": 8,
}


def made(bits: int = 4, *, symmetric: bool = True) -> QuantizedTensor:
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(bits))
    return quantize(weight, None, Grid(bits, symmetric, "group", 32, scale_dtype=torch.float16, reserved=0 if symmetric else 1))


@pytest.mark.parametrize(
    ("described", "stored"),
    [
        ({"packing_format": "auto_round:auto_gptq"}, Gptq(4, True, 32)),
        ({"packing_format": "auto_round"}, Gptq(4, True, 32, version=2)),
        ({"packing_format": "auto_round:gptqmodel"}, Gptq(4, True, 32, version=2)),
        ({"packing_format": "auto_round:auto_gptq", "sym": False}, Gptq(4, False, 32)),
        ({"packing_format": "auto_round:auto_awq", "sym": False}, Awq(32)),
        ({"quant_method": "intel/auto-round", "backend": "auto_round:gptq:exllamav2"}, Gptq(4, True, 32)),
        ({"quant_method": "intel/auto-round", "backend": "auto_round:exllamav2"}, Gptq(4, True, 32, version=2)),
    ],
    ids=str,
)
def test_each_packing_is_read_as_what_it_is(described: dict[str, Any], stored: Gptq | Awq) -> None:
    quantized = made(symmetric=bool(described.get("sym", True)))
    found = read_format(BASE | described, Path("m")).decompress("l", stored.compress("l", quantized))
    assert torch.equal(found.dequantize(), quantized.dequantize())


def test_linears_of_other_widths() -> None:
    extra = {"model.layers.0.mlp.down_proj": {"bits": 8}, r".*\.lm_head": {"bits": 16, "data_type": "float"}}
    scheme = read_format(BASE | {"packing_format": "auto_round:auto_gptq", "extra_config": extra}, Path("m"))
    name, quantized = "model.layers.0.mlp.down_proj", made(8)
    assert torch.equal(scheme.decompress(name, Gptq(8, True, 32).compress(name, quantized)).dequantize(), quantized.dequantize())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data_type": "mx_fp", "act_bits": 4}, "mx_fp with activations of 4 bits"),
        ({"packing_format": "auto_round:llm_compressor"}, "llm_compressor"),
        ({"packing_format": 3}, "packing_format '3'"),
        ({"extra_config": {"a": 3}}, "not a table"),
        ({"bits": 6}, "6 bits"),
    ],
)
def test_what_cannot_be_read_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        read_format(BASE | change, Path("m"))
