"""NF4 and LLM.int8() against bitsandbytes itself, in the environment that LLMOPT_PEER_BITSANDBYTES names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.formats.layouts.bitsandbytes import BitsAndBytes
from core.formats.registry import read_format
from core.formats.weights import QuantizedWeights
from core.models.resolve import resolve
from core.models.source import require_folder
from core.numerics.llm_int8 import OutlierInputs, quantize_rows
from core.numerics.nf4 import Nf4Tensor, nest, quantize_nf4
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.core.quantize.conftest import RecordingContext
from tests.peers import environments as peers

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(peers.interpreter("bitsandbytes") is None, reason=f"{peers.variable('bitsandbytes')} names no Python"),
]

BLOCK_SIZES = (64, 128, 4096)


def matrices() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    found = {
        "first": torch.randn(96, 192, generator=generator, dtype=torch.float32),
        "half": (torch.randn(64, 256, generator=generator) * 0.02).to(torch.float16),
        "brain": (torch.randn(320, 448, generator=generator) * 0.1).to(torch.bfloat16),
        "ragged": torch.randn(7, 50, generator=generator),
        "zeros": torch.zeros(4, 64),
    }
    folder = require_folder(resolve("bundled:base"))
    real = load_file(next(iter(folder.glob("*.safetensors"))))
    return found | {name.replace(".", "_"): tensor for name, tensor in real.items() if "layers.0." in name and tensor.ndim == 2}


@pytest.fixture(scope="module", params=BLOCK_SIZES)
def reference(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Tensor], dict[str, Tensor]]:
    """(block size, matrices, what bitsandbytes makes of them)."""
    folder = tmp_path_factory.mktemp("bitsandbytes")
    given = matrices()
    inputs = torch.randn(9, 192, generator=torch.Generator().manual_seed(4)) * 2
    inputs[2, 17], inputs[5, 17], inputs[7, 100] = 11.0, -3.0, -8.0
    save_file(given | {"x": inputs}, folder / "given.safetensors")
    peers.run("bitsandbytes", "bitsandbytes_tensors", str(folder / "given.safetensors"), str(folder / "out.safetensors"), str(request.param))
    return request.param, given | {"x": inputs}, load_file(folder / "out.safetensors")


def test_nf4_codes_and_scales_are_equal_bit_by_bit(reference: tuple[int, dict[str, Tensor], dict[str, Tensor]]) -> None:
    block, given, theirs = reference
    for name, weight in given.items():
        if name == "x":
            continue
        for nested, prefix in ((False, name), (True, f"{name}.nested")):
            ours = BitsAndBytes("nf4", nested).compress(prefix, quantize_nf4(weight.float(), nested=nested, dtype=weight.dtype, block=block))
            state = f"{prefix}.weight.quant_state.bitsandbytes__nf4"
            assert json.loads(bytes(ours.pop(state).tolist())) == pytest.approx(json.loads(bytes(theirs[state].tolist())), rel=1e-7)
            expected = {key: tensor for key, tensor in theirs.items() if key.startswith(f"{prefix}.weight") and key != state}
            assert set(ours) == set(expected)
            for key, tensor in ours.items():
                if nested and key.endswith("weight.absmax"):
                    assert_nearest_scales(ours, expected, prefix)
                else:  # a last, partial block of zeros has the scale 1e-38 there
                    torch.testing.assert_close(tensor, expected[key], rtol=0, atol=1e-30, msg=f"{key} at blocks of {block}")


def assert_nearest_scales(ours: dict[str, Tensor], theirs: dict[str, Tensor], prefix: str) -> None:
    """Equal codes of scales, but where their CPU kernel, which looks values up in 65,536 steps, rounds one at the very middle of two to the other."""
    first, second = (found[f"{prefix}.weight.absmax"].long() for found in (ours, theirs))
    if float(ours[f"{prefix}.weight.nested_absmax"].max()) < 1e-30:
        return  # all scales are equal: any code stands for nothing
    assert int((first - second).abs().max()) <= 1
    assert int((first != second).sum()) <= max(1, len(first) // 200)


def test_their_tensors_read_by_us_dequantize_to_their_weights(reference: tuple[int, dict[str, Tensor], dict[str, Tensor]]) -> None:
    block, given, theirs = reference
    for name, weight in given.items():
        if name == "x" or weight.shape[1] % block:
            continue  # bitsandbytes 0.50 misreads blocks that cross rows on CPUs with AVX-512: `check` warns of it
        for nested, prefix in ((False, name), (True, f"{name}.nested")):
            read = BitsAndBytes("nf4", nested).decompress(prefix, theirs)
            assert isinstance(read, Nf4Tensor)
            assert read.dtype == weight.dtype
            close = {"rtol": 2e-6, "atol": 1e-9} if weight.dtype == torch.float32 else {"rtol": 2**-7, "atol": 1e-9}
            torch.testing.assert_close(read.dequantize(weight.dtype), theirs[f"{prefix}.dequantized"], **close)  # type: ignore[arg-type]


def test_int8_rows_are_equal_and_the_product_with_outliers_agrees(reference: tuple[int, dict[str, Tensor], dict[str, Tensor]]) -> None:
    _, given, theirs = reference
    for name, weight in given.items():
        if name != "x":
            ours = quantize_rows(weight.to(torch.float16).float())
            assert torch.equal(ours.codes, theirs[f"{name}.CB"])
            assert torch.equal(ours.absmax, theirs[f"{name}.SCB"])
    rows = quantize_rows(given["first"].to(torch.float16).float())
    mine = OutlierInputs("int8")(given["x"].to(torch.float16).float()) @ rows.dequantize().t()
    assert float((mine - theirs["y"]).norm() / theirs["y"].norm()) < 1e-3
    without = OutlierInputs("int8", threshold=0)(given["x"]) @ rows.dequantize().t()
    assert float((without - theirs["y"]).norm() / theirs["y"].norm()) > 1e-3, "the outliers matter"


@pytest.mark.parametrize("values", [{"method": "nf4"}, {"method": "nf4", "double_quant": False}, {"method": "int8"}], ids=str)
def test_our_checkpoint_reloads_with_equal_weights(values: dict[str, object], tiny_llama_dir: Path, tmp_path: Path) -> None:
    result = run(QuantizeSpec(model=str(tiny_llama_dir), eval_tokens=0, **values), RecordingContext(tmp_path))
    folder = Path(result.out)
    peers.run("bitsandbytes", "bitsandbytes_weights", str(folder), str(tmp_path / "out.safetensors"))
    theirs = load_file(tmp_path / "out.safetensors")
    ours = QuantizedWeights(folder, read_format(json.loads((folder / "config.json").read_text())["quantization_config"], folder))
    assert set(theirs) == set(ours.linears)
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[f"{name}.weight"].to(weight.dtype), weight, rtol=2**-8 if weight.dtype == torch.bfloat16 else 1e-6, atol=1e-9)


SETTINGS = [
    {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"},
    {"load_in_8bit": True},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_their_checkpoint_is_read_with_equal_weights(settings: dict[str, object], tiny_llama_dir: Path, tmp_path: Path) -> None:
    peers.make("bitsandbytes", tiny_llama_dir, tmp_path / "theirs", torch.zeros(1, 1, dtype=torch.int64), settings)
    peers.run("bitsandbytes", "bitsandbytes_weights", str(tmp_path / "theirs"), str(tmp_path / "out.safetensors"))
    theirs = load_file(tmp_path / "out.safetensors")
    config = json.loads((tmp_path / "theirs" / "config.json").read_text())["quantization_config"]
    ours = QuantizedWeights(tmp_path / "theirs", read_format(config, tmp_path / "theirs"))
    assert set(theirs) == set(ours.linears)
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[f"{name}.weight"].to(weight.dtype), weight, rtol=2**-8 if weight.dtype == torch.bfloat16 else 1e-6, atol=1e-9)
    if settings.get("bnb_4bit_quant_type") == "fp4":
        return
    method = {"method": "int8"} if "load_in_8bit" in settings else {"method": "nf4", "double_quant": "bnb_4bit_use_double_quant" in settings}
    written = Path(run(QuantizeSpec(model=str(tiny_llama_dir), eval_tokens=0, **method), RecordingContext(tmp_path)).out)
    first, second = (load_file(folder / "model.safetensors") for folder in (written, tmp_path / "theirs"))
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in first.items() if "quant_state" not in name} == {
        name: (tensor.dtype, tensor.shape) for name, tensor in second.items() if "quant_state" not in name
    }
    assert {name for name, tensor in first.items() if "quant_state" in name} == {name for name, tensor in second.items() if "quant_state" in name}
    stored = json.loads((written / "config.json").read_text())["quantization_config"]
    assert set(stored) == set(config), "the same keys"


def test_nested_scales_are_those_of_real_weights() -> None:
    """Kept beside the peers' tests: the largest error of a scale stays within half a step of the grid."""
    scales = quantize_nf4(matrices()["brain"].float(), nested=False, dtype=torch.bfloat16).block_scales()
    assert float((nest(scales).dequantize() - scales).abs().max() / scales.max()) < 0.01
