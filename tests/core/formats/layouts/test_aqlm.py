"""AQLM's layout against a plain reading of the reference implementation's conventions, and what a damaged checkpoint is told."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import RequestError
from core.formats.layouts.aqlm import Aqlm
from core.numerics.additive import AdditiveTensor

NAME = "model.layers.0.mlp.up_proj"


def made(format_: Aqlm, seed: int = 0) -> AdditiveTensor:
    generator = torch.Generator().manual_seed(seed)
    entries = 1 << format_.codebook_bits
    return AdditiveTensor(
        codes=torch.randint(0, entries, (6, 5, format_.codebooks), generator=generator, dtype=torch.int32),
        codebooks=torch.randn(format_.codebooks, entries, format_.out_group, format_.in_group, generator=generator).half(),
        scales=torch.rand(6, 1, 1, 1, generator=generator).half() + 0.5,
    )


def as_the_reference_reads(tensors: dict[str, torch.Tensor], bits: int) -> torch.Tensor:
    """unpack_int_data and _dequantize_weight of the package, in words: codes modulo 2^bits, vectors summed, scaled, tiles put side by side."""
    codes, codebooks, scales = (tensors[f"{NAME}.{kind}"] for kind in ("codes", "codebooks", "scales"))
    unsigned = codes.long().remainder(2**bits)
    tiles = torch.stack([codebooks[k].float()[unsigned[:, :, k]] for k in range(len(codebooks))]).sum(0) * scales.float()
    rows, columns, out_group, in_group = tiles.shape
    return tiles.permute(0, 2, 1, 3).reshape(rows * out_group, columns * in_group)


@given(count=st.integers(1, 4), bits=st.integers(2, 10), tile=st.sampled_from([(1, 8), (1, 4), (2, 2), (4, 1)]), seed=st.integers(0, 2**31))
def test_written_as_the_reference_reads_it_and_read_back(count: int, bits: int, tile: tuple[int, int], seed: int) -> None:
    format_ = Aqlm(count, bits, *tile)
    weight = made(format_, seed)
    tensors = format_.compress(NAME, weight)
    assert set(tensors) == set(format_.parts(NAME))
    assert sum(tensor.nbytes for tensor in tensors.values()) == weight.nbytes
    codes = tensors[f"{NAME}.codes"]
    assert codes.dtype == (torch.int8 if bits <= 8 else torch.int16)
    assert int(codes.min()) >= -(2 ** (bits - 1))
    assert int(codes.max()) < 2 ** (bits - 1)
    torch.testing.assert_close(weight.dequantize(), as_the_reference_reads(tensors, bits), rtol=1e-5, atol=1e-5)
    again = format_.decompress(NAME, tensors)
    assert torch.equal(again.codes, weight.codes)
    assert torch.equal(again.dequantize(), weight.dequantize())


def test_config_and_back() -> None:
    format_ = Aqlm(2, 8, 1, 8)
    config = format_.config(["lm_head"])
    assert config == {
        "quant_method": "aqlm",
        "in_group_size": 8,
        "out_group_size": 1,
        "num_codebooks": 2,
        "nbits_per_codebook": 8,
        "linear_weights_not_to_quantize": ["lm_head", "lm_head.weight"],
    }
    assert Aqlm.from_config(config) == format_
    assert Aqlm.from_config({"quant_method": "aqlm"}) == Aqlm(1, 16, 1, 8)


def test_transformers_reads_the_config_and_leaves_the_named_linears_alone() -> None:
    quantizers = pytest.importorskip("transformers.quantizers.quantizers_utils")
    from transformers import AqlmConfig

    config = AqlmConfig(**Aqlm(1, 7, 2, 2).config(["lm_head", "model.layers.1.mlp.gate"]))  # type: ignore[arg-type]
    assert (config.num_codebooks, config.nbits_per_codebook, config.out_group_size, config.in_group_size) == (1, 7, 2, 2)
    kept = config.linear_weights_not_to_quantize
    assert not quantizers.should_convert_module("lm_head", kept)
    assert not quantizers.should_convert_module("model.layers.1.mlp.gate", kept)
    assert quantizers.should_convert_module("model.layers.0.mlp.up_proj", kept)


def test_knows_its_tensors() -> None:
    format_ = Aqlm(2, 8, 1, 8)
    assert format_.linear_of(f"{NAME}.codes") == NAME
    assert format_.linear_of(f"{NAME}.scales") is None
    assert format_.linear_of("model.norm.weight") is None


def test_holds_only_its_own_shape() -> None:
    weight = made(Aqlm(2, 8, 1, 8))
    assert not Aqlm(1, 8, 1, 8).can_compress(weight)
    with pytest.raises(ValueError, match="does not fit"):
        Aqlm(2, 7, 1, 8).compress(NAME, weight)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda tensors: tensors.pop(f"{NAME}.scales"), "scales is missing"),
        (lambda tensors: tensors.update({f"{NAME}.codes": tensors[f"{NAME}.codes"].int()}), "codes is torch.int32"),
        (lambda tensors: tensors.update({f"{NAME}.codes": tensors[f"{NAME}.codes"][:, :, :1]}), "codes is"),
        (lambda tensors: tensors.update({f"{NAME}.codebooks": tensors[f"{NAME}.codebooks"][:, :7]}), "codebooks is"),
        (lambda tensors: tensors.update({f"{NAME}.scales": tensors[f"{NAME}.scales"][:3]}), "scales is"),
        (lambda tensors: tensors[f"{NAME}.codebooks"].fill_(float("nan")), "codebooks holds NaN"),
    ],
)
def test_a_damaged_linear_is_named(damage: Callable[[dict[str, torch.Tensor]], object], complaint: str) -> None:
    format_ = Aqlm(2, 5, 1, 4)
    tensors = format_.compress(NAME, made(format_))
    damage(tensors)
    with pytest.raises(RequestError, match=complaint):
        format_.decompress(NAME, tensors)


@pytest.mark.parametrize(
    ("field", "value"), [("num_codebooks", 0), ("nbits_per_codebook", 17), ("in_group_size", "8"), ("out_group_size", True), ("in_group_size", 10**9)]
)
def test_a_config_that_states_no_size_is_refused(field: str, value: object) -> None:
    with pytest.raises(RequestError, match=field):
        Aqlm.from_config({"quant_method": "aqlm", field: value})
