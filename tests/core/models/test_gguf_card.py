"""Cards of GGUF files: the cache of each kind of blocks as llama.cpp lays it out, and models in several files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFWriter

from core.errors import RequestError
from core.formats.gguf.read.reader import GgufFile
from core.hardware.plan.recipes import served_name
from core.models.card import ModelCard
from core.models.find.listing import list_models
from core.models.gguf_card import gguf_card

_BASE: dict[str, Any] = {"context_length": 4096, "embedding_length": 64, "feed_forward_length": 96, "attention.head_count": 4, "vocab_size": 8}


def written(folder: Path, architecture: str, values: dict[str, Any], *, tensors_a_file: int = 0, small_first: bool = False) -> Path:
    """A file with metadata and a few tensors; the first of several where `tensors_a_file` is not 0."""
    writer = GGUFWriter(folder / "m.gguf", architecture, split_max_tensors=tensors_a_file, small_first_shard=small_first)
    for key, value in {**_BASE, **values}.items():
        add: Any = writer.add_array if isinstance(value, list) else writer.add_uint32
        add(f"{architecture}.{key}", value)
    for index, name in enumerate(("token_embd", "output_norm", "blk.0.ffn_up", "blk.0.ffn_down", "blk.1.ffn_up")):
        writer.add_tensor(f"{name}.weight", np.full((8, 64), index, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(folder.glob("*.gguf"))[0]


@pytest.mark.parametrize(
    ("architecture", "values", "values_per_token"),
    [
        pytest.param("llama", {"block_count": 3, "attention.head_count_kv": 2}, 3 * 2 * 2 * 16, id="all alike"),
        pytest.param(
            "minicpm3", {"block_count": 3, "attention.key_length": 24, "attention.kv_lora_rank": 16}, 3 * 4 * (24 + 16), id="no value width"
        ),
        pytest.param(
            "deepseek2",
            {
                "block_count": 5,
                "attention.head_count_kv": 1,
                "attention.kv_lora_rank": 16,
                "rope.dimension_count": 8,
                "attention.key_length": 24,
                "attention.value_length": 16,
                "attention.key_length_mla": 20,
                "attention.value_length_mla": 12,
            },
            5 * (16 + 8),
            id="latent",
        ),
        pytest.param("jamba", {"block_count": 4, "attention.head_count_kv": [0, 2, 0, 2]}, 2 * 2 * 2 * 16, id="heads in some blocks"),
        pytest.param("lfm2", {"block_count": 3, "attention.head_count_kv": [0, 0, 4]}, 4 * 2 * 16, id="convolutions"),
        pytest.param("qwen3next", {"block_count": 8, "attention.head_count_kv": 2}, 2 * 2 * 2 * 16, id="every fourth, unsaid"),
        pytest.param("gemma3n", {"block_count": 10, "attention.head_count_kv": 2, "attention.shared_kv_layers": 4}, 6 * 2 * 2 * 16, id="shared"),
        pytest.param("glm4moe", {"block_count": 5, "nextn_predict_layers": 1, "attention.head_count_kv": 2}, 4 * 2 * 2 * 16, id="a drafting block"),
        pytest.param("mamba", {"block_count": 4, "attention.head_count_kv": 4}, 0, id="states only"),
        pytest.param(
            "gemma4",
            {
                "block_count": 2,
                "attention.head_count_kv": [4, 1],
                "attention.sliding_window": 1024,
                "attention.key_length": 32,
                "attention.value_length": 32,
                "attention.key_length_swa": 16,
                "attention.value_length_swa": 16,
                "attention.sliding_window_pattern": [True, False],
            },
            4 * 2 * 16 + 1 * 2 * 32,
            id="two widths",
        ),
    ],
)
def test_the_cache_of_a_file(architecture: str, values: dict[str, Any], values_per_token: int, tmp_path: Path) -> None:
    card = gguf_card(written(tmp_path, architecture, values))
    assert card.kv_bytes_per_token() == 2 * values_per_token
    assert card.kv_bytes(1000, 3) == 3 * 1000 * 2 * values_per_token


def test_a_window_of_some_blocks(tmp_path: Path) -> None:
    card = gguf_card(written(tmp_path, "gemma2", {"block_count": 4, "attention.head_count_kv": 2, "attention.sliding_window": 100}))
    assert card.kv_bytes(300) == (2 * 300 + 2 * 100) * 2 * 2 * 16 * 2
    assert (card.sliding_layers, card.recurrent_layers) == (2, 0)


_SHAPE = {"block_count": 2, "attention.head_count_kv": 2}


def _facts(card: ModelCard) -> dict[str, Any]:
    return card.model_dump(exclude={"name", "file_bytes"})


@pytest.mark.parametrize("small_first", [False, True])
def test_any_part_of_a_model_is_the_whole_model(small_first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = written(tmp_path / "whole", "llama", _SHAPE)
    written(tmp_path / "parts", "llama", _SHAPE, tensors_a_file=2, small_first=small_first)
    parts = sorted((tmp_path / "parts").glob("*.gguf"))
    assert len(parts) == 3 + small_first
    for part in parts:
        card = gguf_card(part)
        assert _facts(card) == _facts(gguf_card(whole))
        assert card.file_bytes == gguf_card(whole).file_bytes
        file, reference = GgufFile(part), GgufFile(whole)
        assert all(bool((file.read(name) == reference.read(name)).all()) for name in reference.tensors)
    monkeypatch.setenv("LLMOPT_MODELS", str(tmp_path / "parts"))
    assert [source.path for source in list_models().sources if source.kind == "gguf"] == parts[:1]


def test_engines_are_given_the_first_part() -> None:
    assert served_name("/m/a-00003-of-00005.gguf") == "/m/a-00001-of-00005.gguf"
    assert served_name("a-00001-of-00002.gguf") == "a-00001-of-00002.gguf"
    assert served_name("owner/model") == "owner/model"


def test_parts_that_are_missing_renamed_or_mixed_up_are_named(tmp_path: Path) -> None:
    first = written(tmp_path, "llama", _SHAPE, tensors_a_file=2)
    second = tmp_path / "m-00002-of-00003.gguf"
    kept = second.read_bytes()
    second.unlink()
    with pytest.raises(RequestError, match=r"one part of 3, and m-00002-of-00003\.gguf is missing next to it"):
        gguf_card(first)
    second.write_bytes((tmp_path / "m-00003-of-00003.gguf").read_bytes())
    with pytest.raises(RequestError, match="is not part 2 of 3"):
        gguf_card(first)
    second.write_bytes(kept)
    first.rename(tmp_path / "other.gguf")
    with pytest.raises(RequestError, match="its name does not say which"):
        gguf_card(tmp_path / "other.gguf")
