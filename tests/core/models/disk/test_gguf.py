"""GGUF headers written by the gguf package are read, damaged ones refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quantize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import RequestError
from core.models.disk.gguf_header import read_gguf_header
from core.models.gguf_card import gguf_card
from core.models.resolve import resolve


def write_gguf(path: Path, *, quantized: bool = True) -> Path:
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_key_length(32)
    writer.add_value_length(32)
    writer.add_chat_template("{{ messages }}")
    writer.add_token_list([f"token {index}" for index in range(5000)])
    writer.add_token_scores([0.0] * 5000)
    shapes = {"token_embd.weight": (5000, 64), "output_norm.weight": (64,)}
    for block in range(2):
        shapes |= {f"blk.{block}.attn_q.weight": (128, 64), f"blk.{block}.attn_k.weight": (64, 64), f"blk.{block}.ffn_up.weight": (96, 64)}
    for name, shape in shapes.items():
        values = np.ones(shape, dtype=np.float32)
        if quantized and len(shape) == 2:
            writer.add_tensor(name, quantize(values, GGMLQuantizationType.Q8_0), raw_dtype=GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_header_equals_what_the_gguf_package_reads(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    header, reference = read_gguf_header(path), GGUFReader(path)
    assert {tensor.name: (tensor.shape, tensor.type_number) for tensor in header.tensors} == {
        tensor.name: (tuple(int(size) for size in tensor.shape), int(tensor.tensor_type)) for tensor in reference.tensors
    }
    for key in ("general.architecture", "llama.block_count", "llama.attention.head_count_kv", "tokenizer.chat_template"):
        assert header.metadata[key] == reference.fields[key].contents()
    assert header.metadata["tokenizer.ggml.tokens.length"] == 5000
    assert "tokenizer.ggml.tokens" not in header.metadata


def test_card_of_a_quantized_file(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    card = resolve(str(path)).card()
    assert (card.layers, card.heads, card.kv_heads, card.head_dim, card.context, card.vocabulary) == (2, 4, 2, 32, 256, 5000)
    assert card.parameters == 5000 * 64 + 64 + 2 * (128 + 64 + 96) * 64
    assert (card.dtype, card.quantization) == ("Q8_0", {"quant_method": "gguf", "type": "Q8_0"})
    assert card.kv_bytes_per_token() == 2 * 2 * 2 * 32 * 2
    assert card.chat_template
    assert card.tied_embeddings
    assert card.file_bytes == 5000 * 64 * 34 // 32 + (64 * 4) + 2 * (128 + 64 + 96) * 64 * 34 // 32
    assert {(linear.name_suffix, linear.out_features, linear.in_features, linear.count) for linear in card.linears} == {
        ("attn_q", 128, 64, 2),
        ("attn_k", 64, 64, 2),
        ("ffn_up", 96, 64, 2),
    }


def test_plain_weights_are_not_called_quantized(tmp_path: Path) -> None:
    card = gguf_card(write_gguf(tmp_path / "m.gguf", quantized=False))
    assert (card.dtype, card.quantization) == ("F32", None)


def test_a_model_without_its_shape_is_refused(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_block_count(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(RequestError, match=r"llama\.attention\.head_count"):
        gguf_card(tmp_path / "m.gguf")


def test_more_blocks_than_any_model_has_are_refused_before_they_are_counted(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_block_count(2**32 - 1)
    writer.add_head_count(4)
    writer.add_embedding_length(64)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(RequestError, match="block_count = 4,294,967,295"):
        gguf_card(tmp_path / "m.gguf")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "m.gguf").read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_give_a_card_or_a_sentence(tmp_path: Path, sound: bytes, data: st.DataObject) -> None:
    raw = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, 600))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    path = tmp_path / "m.gguf"
    path.write_bytes(raw)
    try:
        card = gguf_card(path)
    except RequestError:
        return
    assert card.kv_bytes(128) > 0
