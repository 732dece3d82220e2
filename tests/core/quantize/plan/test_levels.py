"""The table of GGUF levels, foretold from a model's card."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from core.formats.gguf.blocks import BLOCKS
from core.formats.gguf.mix import Shape, embedding_type, fitting, matrix_type
from core.formats.gguf.read.reader import GgufFile
from core.formats.gguf.write.convert import convert, plan_conversion
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.quantize.plan.levels import LEVELS, code_bits, level_row, level_table, nominal
from tests.core.formats.gguf.models import make_model
from tests.core.hardware.cards import card


def test_blocks_are_ggml_s() -> None:
    import gguf

    assert {name: gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]] for name in BLOCKS} == BLOCKS


def test_levels_go_down() -> None:
    table = level_table(resolve("bundled:base").card())
    assert tuple(row.level for row in table) == LEVELS
    bits = {row.level: row.bits_per_weight for row in table}
    assert bits["F32"] == 32
    assert bits["Q8_0"] > bits["Q6_K"] > bits["Q5_K_M"] > bits["Q5_K_S"] > bits["Q4_K_M"] > bits["Q4_K_S"] > bits["Q3_K_M"] > bits["Q2_K"]
    assert [row.level for row in table if not row.needs_llama_cpp] == ["F32", "F16", "BF16", "Q8_0"]


@pytest.mark.parametrize(
    ("level", "bits"),
    [("Q2_K", 3.1593), ("Q3_K_S", 3.6429), ("Q3_K_M", 3.9960), ("Q3_K_L", 4.2979), ("IQ4_XS", 4.4597), ("IQ4_NL", 4.6818), ("Q4_K_S", 4.6672),
     ("Q4_K_M", 4.8944), ("Q5_K_S", 5.5704), ("Q5_K_M", 5.7036), ("Q6_K", 6.5633), ("Q8_0", 8.5008), ("F16", 16.0005)],
)  # fmt: skip
def test_bits_are_those_that_llama_cpp_publishes_for_llama_3_1_8b(level: str, bits: float) -> None:
    """As tools/quantize/README.md has them."""
    assert level_row(card("Llama-3-8B"), level).bits_per_weight == pytest.approx(bits, rel=0.005)


@pytest.mark.parametrize("level", ["F32", "BF16", "Q8_0"])
def test_what_is_written_here_is_as_large_as_foretold(level: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", "gemma2", intermediate_size=80)
    convert(plan_conversion(folder, "m"), tmp_path / "m.gguf", level)
    row, file = level_row(ModelCard.from_folder(folder), level), GgufFile(tmp_path / "m.gguf")
    assert row.bytes == file.file_bytes
    assert [fallback.used for fallback in row.fallbacks] == (["F16"] if level == "Q8_0" else [])


def test_fallbacks_are_said() -> None:
    tiny = card("Qwen2.5-0.5B")
    sentences = [fallback.sentence() for fallback in level_row(tiny, "Q4_K_M").fallbacks]
    assert sentences[0] == "rows of self_attn.q_proj (896 weights) do not fill blocks of Q4_K: 24 of them become Q5_0, 1.00 bits per weight more"
    assert any("embedding (896 weights)" in sentence and "Q6_K" in sentence and "Q8_0" in sentence for sentence in sentences)
    assert not level_row(card("Llama-3-8B"), "Q4_K_M").fallbacks


def test_rules_of_the_mixes() -> None:
    shape = Shape(blocks=32, share=4, tied=False)
    of_value = [matrix_type("Q4_K_M", "attn_v", block, shape) for block in range(32)]
    assert of_value.count("Q6_K") == 4 + 4 + 8
    assert matrix_type("Q4_K_M", "attn_qkv", 0, shape) == "Q6_K"
    assert [matrix_type("Q3_K_M", "attn_v", block, shape) for block in (0, 1, 2)] == ["Q5_K", "Q5_K", "Q4_K"]
    assert matrix_type("Q2_K", "attn_v", 9, shape) == "Q4_K"
    assert matrix_type("Q2_K", "attn_v", 9, Shape(32, 1, False)) == "Q3_K"
    assert matrix_type("IQ4_XS", "ffn_down", 0, shape) == "Q5_K"
    assert matrix_type("IQ4_XS", "ffn_down", 0, Shape(32, 4, False, imatrix=True)) == "IQ4_XS"
    assert matrix_type("Q4_K_M", "attn_v", 10, Shape(80, 8, False, seventy=True)) == "Q5_K"
    assert matrix_type("Q4_K_M", "ffn_up", 0, shape) == "Q4_K"
    assert (embedding_type("Q4_K_M", 256, head=True), embedding_type("Q4_K_M", 256, head=False)) == ("Q6_K", "Q4_K")
    assert (embedding_type("Q4_K_M", 288, head=True), embedding_type("IQ4_NL", 288, head=True)) == ("Q8_0", "Q8_0")
    assert (fitting("Q3_K", 288), fitting("IQ4_XS", 288), fitting("Q4_K", 40)) == ("Q4_0", "IQ4_NL", "F16")


def test_published_figures_are_quoted_and_never_made_up() -> None:
    rows = {row.level: row.published_kl for row in level_table(resolve("bundled:base").card())}
    assert rows["Q4_K_M"] == 0.031273
    assert rows["BF16"] is None
    known = [value for value in rows.values() if value is not None]
    assert all(math.isfinite(value) and value > 0 for value in known)


def test_bits_of_a_level_in_short() -> None:
    assert [nominal(level) for level in ("F16", "Q8_0", "Q6_K", "Q4_K_M", "IQ4_NL", "Q2_K")] == [
        (16, 1),
        (8, 32),
        (6, 256),
        (4, 256),
        (4, 32),
        (2, 256),
    ]


def test_a_block_type_states_the_bits_of_its_codes() -> None:
    blocks = ("F32", "BF16", "Q8_0", "Q6_K", "Q5_1", "Q4_K", "IQ4_XS", "Q2_K")
    assert [code_bits(block) for block in blocks] == [32, 16, 8, 6, 5, 4, 4, 2]
