"""Where a family's blocks let a scale be moved from the input of some linears into what computes that input.

Dividing a feature by s where it is made and multiplying the columns that read it by s changes nothing, as long as everything that
reads the feature is multiplied by it. AWQ (arXiv 2306.00978) and SmoothQuant (arXiv 2211.10438) choose s; this table says where it can go. It is
data, checked against the loaded block before use, and a family that has no row is refused: a wrong row would change the model silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from core.errors import RequestError
from core.sanitize import clean

Maker = Literal["norm", "norm+1", "linear"]
"""What computes the features: a norm that multiplies by its weight, one that multiplies by 1 + weight, or a linear."""


@dataclass(frozen=True)
class ScaleGroup:
    """Features and all the linears that read them; names are those inside a block."""

    source: str
    """The norm or linear that computes the features."""
    readers: tuple[str, ...]
    parent: str
    """Module whose output shows what an error of the readers costs; empty: the whole block."""
    maker: Maker = "norm"
    parts: int = 1
    """A fused linear as source: its rows are this many equal parts, and the readers read what comes of the last."""
    through: str = ""
    """A module between source and readers that must be a ReLU, because only relu(x / s) = relu(x) / s."""


@dataclass(frozen=True)
class Recipe:
    """All scale groups of a family's block, in the order of the forward pass."""

    groups: tuple[ScaleGroup, ...]
    required: tuple[tuple[str, bool], ...] = ()
    """(attribute of the block, value it must have): a family's options under which the groups do not hold."""

    @property
    def norms(self) -> tuple[ScaleGroup, ...]:
        """Groups whose features come from a norm."""
        return tuple(group for group in self.groups if group.maker != "linear")


_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_GATE_UP = ("mlp.gate_proj", "mlp.up_proj")


def _value(output: str, value: str = "self_attn.v_proj", parts: int = 1) -> ScaleGroup:
    return ScaleGroup(value, (output,), output, "linear", parts)


def _gated(second_norm: str = "post_attention_layernorm", maker: Maker = "norm") -> Recipe:
    """Queries, keys and values after one norm, gate and up after another; Llama's names."""
    return Recipe(
        (
            ScaleGroup("input_layernorm", _QKV, "self_attn", maker),
            _value("self_attn.o_proj"),
            ScaleGroup(second_norm, _GATE_UP, "mlp", maker),
            ScaleGroup("mlp.up_proj", ("mlp.down_proj",), "mlp.down_proj", "linear"),
        )
    )


def _plain(norms: tuple[str, str], attention: str, qkv: tuple[str, ...], first: str) -> Recipe:
    """Attention after one norm, an MLP of two layers with a smooth activation after another."""
    return Recipe((ScaleGroup(norms[0], qkv, attention), ScaleGroup(norms[1], (first,), first.rpartition(".")[0])))


_LLAMA = _gated()
_GPT2 = _plain(("ln_1", "ln_2"), "attn", ("attn.c_attn",), "mlp.c_fc")
_FUSED_MLP = (
    ScaleGroup("post_attention_layernorm", ("mlp.gate_up_proj",), "mlp"),
    ScaleGroup("mlp.gate_up_proj", ("mlp.down_proj",), "mlp.down_proj", "linear", parts=2),
)
_GLM = Recipe((ScaleGroup("input_layernorm", _QKV, "self_attn"), _value("self_attn.o_proj"), *_FUSED_MLP))
_COHERE = Recipe(
    (
        ScaleGroup("input_layernorm", (*_QKV, *_GATE_UP), ""),
        _value("self_attn.o_proj"),
        ScaleGroup("mlp.up_proj", ("mlp.down_proj",), "mlp.down_proj", "linear"),
    )
)
_LLAMA_LIKE = (
    *("llama", "mistral", "ministral", "qwen2", "qwen3", "smollm3", "granite"),
    *("ernie4_5", "seed_oss", "hunyuan_v1_dense", "helium", "stablelm"),
)

RECIPES: Mapping[str, Recipe] = {
    **dict.fromkeys(_LLAMA_LIKE, _LLAMA),
    "gemma": _gated(maker="norm+1"),
    **dict.fromkeys(("gemma2", "gemma3_text"), _gated("pre_feedforward_layernorm", "norm+1")),
    "phi3": Recipe(
        (
            ScaleGroup("input_layernorm", ("self_attn.qkv_proj",), "self_attn"),
            _value("self_attn.o_proj", "self_attn.qkv_proj", parts=3),
            *_FUSED_MLP,
        )
    ),
    **dict.fromkeys(("glm", "glm4"), _GLM),
    "phi": Recipe((ScaleGroup("input_layernorm", (*_QKV, "mlp.fc1"), ""), _value("self_attn.dense"))),
    **dict.fromkeys(("cohere", "cohere2"), _COHERE),
    "opt": Recipe(
        (
            ScaleGroup("self_attn_layer_norm", _QKV, "self_attn"),
            _value("self_attn.out_proj"),
            ScaleGroup("final_layer_norm", ("fc1",), "fc1"),
            ScaleGroup("fc1", ("fc2",), "fc2", "linear", through="activation_fn"),
        ),
        required=(("do_layer_norm_before", True),),
    ),
    "starcoder2": Recipe(
        (
            ScaleGroup("input_layernorm", _QKV, "self_attn"),
            _value("self_attn.o_proj"),
            ScaleGroup("post_attention_layernorm", ("mlp.c_fc",), "mlp"),
        )
    ),
    "nemotron": Recipe(
        (
            ScaleGroup("input_layernorm", _QKV, "self_attn", "norm+1"),
            _value("self_attn.o_proj"),
            ScaleGroup("post_attention_layernorm", ("mlp.up_proj",), "mlp", "norm+1"),
        )
    ),
    **dict.fromkeys(("gpt2", "gpt_bigcode"), _GPT2),
    "gpt_neo": Recipe(
        (
            ScaleGroup("ln_1", ("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"), "attn"),
            _value("attn.attention.out_proj", "attn.attention.v_proj"),
            ScaleGroup("ln_2", ("mlp.c_fc",), "mlp"),
        )
    ),
    "gptj": Recipe(
        (
            ScaleGroup("ln_1", ("attn.q_proj", "attn.k_proj", "attn.v_proj", "mlp.fc_in"), ""),
            _value("attn.out_proj", "attn.v_proj"),
        )
    ),
    "gpt_neox": _plain(("input_layernorm", "post_attention_layernorm"), "attention", ("attention.query_key_value",), "mlp.dense_h_to_4h"),
    "mpt": _plain(("norm_1", "norm_2"), "attn", ("attn.Wqkv",), "ffn.up_proj"),
    "bloom": replace(
        _plain(("input_layernorm", "post_attention_layernorm"), "self_attention", ("self_attention.query_key_value",), "mlp.dense_h_to_4h"),
        required=(("apply_residual_connection_post_layernorm", False),),
    ),
}
"""By `model_type` of the text decoder, as transformers builds these families."""


def recipe_of(model_type: str, method: str) -> Recipe:
    """The row of a family.

    Args:
        model_type: of the text decoder.
        method: what needs it, for the sentence.

    Raises:
        RequestError: the family has none.
    """
    if model_type not in RECIPES:
        raise RequestError(
            f"{method} folds scales into norms, and the norm that feeds each linear is not known for the family "
            f"{clean(model_type, limit=80)!r}: choose method gptq or rtn, which support any family"
        )
    return RECIPES[model_type]


_SCORES = frozenset({"q_proj", "k_proj", "qkv_proj", "c_attn", "query_key_value", "Wqkv"})


def makes_scores(linear: str) -> bool:
    """Whether a linear, by its name in the checkpoint or the block, computes queries or keys, alone or fused with values."""
    return linear.rpartition(".")[2] in _SCORES
