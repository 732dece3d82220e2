"""Shapes of well-known models, for planning where their files are not: the public facts of their config.json."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from core.errors import RequestError
from core.models.card import ModelCard
from core.models.disk.files import read_object
from core.models.resolve import resolve
from core.sanitize import clean

PREFIX = "size:"


def _shape(
    family: str, hidden: int, wide: int, layers: int, heads: int, kv: int, vocabulary: int, context: int, *, tied: bool = False, head_dim: int = 128
) -> dict[str, object]:
    return {
        "model_type": family,
        "architectures": [f"{family.capitalize()}ForCausalLM"],
        "hidden_size": hidden,
        "intermediate_size": wide,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "head_dim": head_dim,
        "vocab_size": vocabulary,
        "max_position_embeddings": context,
        "tie_word_embeddings": tied,
        "sliding_window": None,
        "use_sliding_window": False,
        "dtype": "bfloat16",
    }


CONFIGS: dict[str, dict[str, object]] = {
    "tinyllama-1.1b": _shape("llama", 2048, 5632, 22, 32, 4, 32000, 2048, head_dim=64),
    "llama-2-7b": _shape("llama", 4096, 11008, 32, 32, 32, 32000, 4096),
    "llama-2-13b": _shape("llama", 5120, 13824, 40, 40, 40, 32000, 4096),
    "llama-3.2-1b": _shape("llama", 2048, 8192, 16, 32, 8, 128256, 131072, tied=True, head_dim=64),
    "llama-3.2-3b": _shape("llama", 3072, 8192, 28, 24, 8, 128256, 131072, tied=True),
    "llama-3.1-8b": _shape("llama", 4096, 14336, 32, 32, 8, 128256, 131072),
    "llama-3.1-70b": _shape("llama", 8192, 28672, 80, 64, 8, 128256, 131072),
    "llama-3.1-405b": _shape("llama", 16384, 53248, 126, 128, 8, 128256, 131072),
    "mistral-7b": _shape("mistral", 4096, 14336, 32, 32, 8, 32768, 32768),
    "qwen2.5-0.5b": _shape("qwen2", 896, 4864, 24, 14, 2, 151936, 32768, tied=True, head_dim=64),
    "qwen2.5-7b": _shape("qwen2", 3584, 18944, 28, 28, 4, 152064, 131072),
    "qwen3-8b": _shape("qwen3", 4096, 12288, 36, 32, 8, 151936, 40960),
    "qwen3-32b": _shape("qwen3", 5120, 25600, 64, 64, 8, 151936, 40960),
}
"""By name in small letters."""


_SIZE = re.compile(r"(\d+(?:\.\d+)?)b")


@cache
def well_known(name: str) -> ModelCard:
    """The card of a model of the table, by its name or by its size alone (`7B`: the first of that size).

    Raises:
        RequestError: there is none of that name or size.
    """
    key = name.strip().lower().removeprefix(PREFIX)
    if _SIZE.fullmatch(key):
        key = next((known for known in CONFIGS if known.endswith(f"-{key}")), key)
    if key not in CONFIGS:
        raise RequestError(f"unknown model {clean(name, limit=60)}: choose one of {', '.join(CONFIGS)}")
    return ModelCard.from_config(CONFIGS[key], name=key)


def planned_card(model: str) -> ModelCard:
    """The card of a model that need not be here: a size (`7B`, `size:<name>` of the table), a config.json or a folder with one alone, or what
    `resolve` finds.

    Raises:
        RequestError: there is none.
    """
    if model.startswith(PREFIX) or (_SIZE.fullmatch(model.strip().lower()) and not Path(model).exists()):
        return well_known(model)
    path = Path(model).expanduser()
    folder = path.parent if path.name == "config.json" else path
    if (folder / "config.json").is_file() and (path != folder or not any(folder.glob("*.safetensors"))):
        return ModelCard.from_config(read_object(folder / "config.json"), name=clean(folder.absolute().name, limit=80))
    return resolve(model).card()
