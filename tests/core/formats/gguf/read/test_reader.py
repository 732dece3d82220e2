"""Reading GGUF: every block type as the gguf package has it, and hostile files named in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, dequantize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import LlmoptError, RequestError
from core.formats.gguf.families import family_in_file, parameter_name
from core.formats.gguf.read.reader import GgufFile
from core.formats.gguf.read.tokenizer_files import write_tokenizer
from core.formats.gguf.read.weights import GgufWeights
from core.formats.gguf.write.convert import convert, plan_conversion

READABLE = [
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    "IQ4_NL", "IQ4_XS", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S", "IQ1_M", "TQ1_0", "TQ2_0",
]  # fmt: skip


def of_random_bytes(path: Path, block: str, rows: int = 3, columns: int = 512) -> np.ndarray:
    """A file with one tensor of arbitrary blocks; what the gguf package makes of it."""
    kind = GGMLQuantizationType[block]
    values, size = GGML_QUANT_SIZES[kind]
    generator = np.random.default_rng(0)
    if block in ("F32", "F16"):
        raw = generator.normal(size=(rows, columns)).astype(np.float32 if block == "F32" else np.float16)
    else:
        raw = generator.integers(0, 64, (rows, columns // values * size), dtype=np.uint8)
    writer = GGUFWriter(path, "llama")
    writer.add_tensor("x.weight", raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return dequantize(raw, kind).reshape(rows, columns)


@pytest.mark.parametrize("block", READABLE)
def test_blocks_are_read_as_the_gguf_package_reads_them(block: str, tmp_path: Path) -> None:
    expected = of_random_bytes(tmp_path / "m.gguf", block)
    file = GgufFile(tmp_path / "m.gguf")
    assert file.block("x.weight") == block
    assert np.array_equal(file.read("x.weight").numpy(), expected, equal_nan=True)
    assert file.file_bytes == file.nbytes("x.weight")


def test_names_are_found_again_and_others_are_not() -> None:
    llama = family_in_file("llama")
    assert parameter_name(llama, "blk.12.attn_output.weight") == "model.layers.12.self_attn.o_proj.weight"
    assert parameter_name(llama, "output.weight") == "lm_head.weight"
    assert parameter_name(llama, "rope_freqs.weight") is None
    assert parameter_name(llama, "blk.1.attn_q_norm.weight") is None
    with pytest.raises(RequestError, match="architecture 'mamba' cannot be read here, only llama"):
        family_in_file("mamba")


def test_a_tensor_of_a_type_that_does_not_exist_is_named(tmp_path: Path) -> None:
    of_random_bytes(tmp_path / "m.gguf", "Q8_0")
    raw = bytearray((tmp_path / "m.gguf").read_bytes())
    at = raw.index(b"x.weight") + len(b"x.weight") + 4 + 16
    raw[at : at + 4] = (77).to_bytes(4, "little")
    (tmp_path / "m.gguf").write_bytes(raw)
    with pytest.raises(RequestError, match=r"'x.weight' .* has the unknown type 77"):
        GgufFile(tmp_path / "m.gguf")


def test_a_file_that_was_cut_short_is_named(tmp_path: Path) -> None:
    of_random_bytes(tmp_path / "m.gguf", "Q8_0")
    raw = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "m.gguf").write_bytes(raw[:-100])
    with pytest.raises(RequestError, match="extends beyond the end of the file"):
        GgufFile(tmp_path / "m.gguf")


@pytest.fixture(scope="session")
def whole_file(family_dirs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    convert(plan_conversion(family_dirs["gemma3_text"], "m"), path, "Q8_0")
    return path.read_bytes()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_files_are_read_or_named(whole_file: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("mutated")
    raw = bytearray(whole_file)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.one_of(st.integers(0, 400), st.integers(0, 9000), st.integers(0, len(raw) - 1)))
        raw[at] = data.draw(st.one_of(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]), st.integers(0, 255)))
    (folder / "m.gguf").write_bytes(raw[: data.draw(st.sampled_from([len(raw), len(raw), len(raw) // 2]))])
    try:
        weights = GgufWeights(folder / "m.gguf")
        weights.write_config(folder)
        write_tokenizer(weights.file.header, folder, "m.gguf")
        assert all(weights[name].dtype == torch.float32 for name in list(weights)[:3])
    except LlmoptError as error:
        complaint = str(error)
    else:
        complaint = ""
    finally:
        (folder / "m.gguf").unlink()
    assert "\n" not in complaint


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("gemma3.block_count", 9000, r"blk\.8999\.attn_norm\.weight of .* is missing, and its metadata make it \[64\]"),
        ("gemma3.block_count", 2, "holds more blocks than the 2"),
        ("gemma3.attention.key_length", 2**30, r"attn_output\.weight of .* has the shape \[128, 64\], and its metadata make it \[4294967296, 64\]"),
        ("gemma3.feed_forward_length", 97, r"ffn_down\.weight .* make it \[97, 64\]"),
        ("gemma3.attention.head_count_kv", 3, "4 heads that cannot share 3 KV heads"),
        ("gemma3.embedding_length", 0, "embedding_length = 0, which must be above 0"),
    ],
)
def test_sizes_that_are_made_up_are_named(whole_file: bytes, tmp_path: Path, key: str, value: int, message: str) -> None:
    raw = bytearray(whole_file)
    at = raw.index(key.encode()) + len(key) + 4
    raw[at : at + 4] = value.to_bytes(4, "little")
    (tmp_path / "m.gguf").write_bytes(raw)
    with pytest.raises(RequestError, match=message):
        GgufWeights(tmp_path / "m.gguf")
