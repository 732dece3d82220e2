"""What every GGUF level makes of a model, before anything is run: block types, bits, bytes, and how others fared with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import takewhile
from string import ascii_letters
from typing import get_args

from core.formats.gguf.blocks import BLOCK_BITS, BLOCKS, WRITTEN_HERE, Level, row_bytes
from core.formats.gguf.mix import Shape, default_type, embedding_type, fitting, matrix_type
from core.models.card import LinearShape, ModelCard

LEVELS: tuple[str, ...] = get_args(Level)
PUBLISHED_KL: dict[str, float] = {
    "F16": 0.000551,
    "Q8_0": 0.001355,
    "Q6_K": 0.005452,
    "Q5_K_M": 0.010762,
    "Q5_K_S": 0.016595,
    "Q4_K_M": 0.031273,
    "Q4_K_S": 0.043136,
    "IQ4_NL": 0.035742,
    "IQ4_XS": 0.036334,
    "Q3_K_L": 0.087176,
    "Q3_K_M": 0.101913,
    "Q3_K_S": 0.228217,
    "Q2_K": 0.445132,
}
"""Mean KL divergence from the original in nats per token that llama.cpp published: Llama-3-8B on WikiText-2, without importance matrix, IQ4 with
one (tools/perplexity/README.md). Quoted for comparison, not measured here."""
_ADVICE = {
    "F32": "full size, for reference",
    "F16": "16 bits; overflows where weights pass 65504",
    "BF16": "what most models are trained in",
    "Q8_0": "no noticeable loss",
    "Q6_K": "almost no noticeable loss",
    "Q5_K_M": "small loss",
    "Q4_K_M": "the usual choice",
    "IQ4_XS": "smallest at 4 bits, needs an imatrix",
    "Q3_K_M": "noticeable loss",
    "Q2_K": "large loss: only if nothing else fits",
}


@dataclass(frozen=True)
class Fallback:
    """Matrices whose rows do not fill the blocks that the level wants for them."""

    name: str
    columns: int
    wanted: str
    used: str
    count: int

    def sentence(self) -> str:
        """For the user."""
        change = BLOCK_BITS[self.used] - BLOCK_BITS[self.wanted]
        return (
            f"rows of {self.name} ({self.columns} weights) do not fill blocks of {self.wanted}: {self.count} of them become {self.used}, "
            f"{abs(change):.2f} bits per weight {'more' if change >= 0 else 'less'}"
        )


@dataclass(frozen=True)
class LevelRow:
    """One level on one model."""

    level: str
    bits_per_weight: float
    """Of all parameters, scales counted."""
    bytes: int
    """Of all tensors; the file's header and tokenizer come on top."""
    types: tuple[tuple[str, int], ...]
    """Block types with the weights stored in each, most first."""
    fallbacks: tuple[Fallback, ...]
    published_kl: float | None
    advice: str
    needs_llama_cpp: bool


def shape_of(card: ModelCard, *, imatrix: bool = False) -> Shape:
    """What the rules of llama.cpp look at."""
    share = max(card.heads // max(card.kv_heads, 1), 1)
    seventy = card.layers == 80 and (card.model_type == "qwen2" or (card.model_type in ("llama", "mistral") and share > 1))
    return Shape(max(card.layers, 1), share, card.tied_embeddings, imatrix, seventy)


def nominal(level: str) -> tuple[int, int]:
    """Whole bits of a weight, without scales, and weights that share a scale's block, in most matrices of a level."""
    block = default_type(level)
    return code_bits(block), BLOCKS[block][0]


def code_bits(block: str) -> int:
    """Bits of a value's code in a block type, scales left out: the number in its name, `5` of `Q5_1`."""
    return int("".join(takewhile(str.isdigit, block.lstrip(ascii_letters))))


def level_table(card: ModelCard, *, imatrix: bool = False) -> tuple[LevelRow, ...]:
    """Every level, largest first."""
    return tuple(level_row(card, level, imatrix=imatrix) for level in LEVELS)


def level_row(card: ModelCard, level: str, *, imatrix: bool = False) -> LevelRow:
    """What a level makes of a model, computed from the shapes of its matrices and llama.cpp's rules."""
    shape, held, fallbacks = shape_of(card, imatrix=imatrix), Counter[str](), Counter[tuple[str, int, str, str]]()
    total = 0
    for linear in card.linears:
        for block in range(shape.blocks):
            count = _in_block(linear, block, shape.blocks)
            wanted = matrix_type(level, linear.name_suffix, block, shape)
            used = fitting(wanted, linear.in_features)
            if wanted != used:
                fallbacks[(linear.name_suffix, linear.in_features, wanted, used)] += count
            held[used] += count * linear.out_features * linear.in_features
            total += count * linear.out_features * row_bytes(used, linear.in_features)
    matrices = sum(linear.count * linear.out_features * linear.in_features for linear in card.linears)
    table = min(card.vocabulary * card.hidden_size, max(card.parameters - matrices, 0))
    for name, is_head in (("embedding", card.tied_embeddings), *(() if card.tied_embeddings else (("head", True),))):
        used = embedding_type(level, card.hidden_size, head=is_head)
        wanted = default_type(level) if not is_head or level in WRITTEN_HERE else "Q6_K"
        if wanted != used:
            fallbacks[(name, card.hidden_size, wanted, used)] += 1
        held[used] += table
        total += table // max(card.hidden_size, 1) * row_bytes(used, card.hidden_size)
    rest = max(card.parameters - matrices - table * (1 if card.tied_embeddings else 2), 0)
    total += 4 * rest
    return LevelRow(
        level,
        8 * total / max(card.parameters, 1),
        total,
        tuple(held.most_common()),
        tuple(Fallback(name, columns, wanted, used, count) for (name, columns, wanted, used), count in fallbacks.items() if count),
        PUBLISHED_KL.get(level),
        _ADVICE.get(level, ""),
        level not in WRITTEN_HERE,
    )


def _in_block(linear: LinearShape, block: int, blocks: int) -> int:
    """How many of equal linears a block has, when the blocks have as many each; the first blocks have the rest."""
    each, rest = divmod(linear.count, blocks)
    return each + (1 if block < rest else 0)
