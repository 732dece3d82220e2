"""What transformers itself builds from a configuration: parameters and cache on the meta device, without weights or memory for them.

Run as a process of its own where torch is not imported yet, so that neither the screen nor a command that only plans has to import it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from core.models.config.cache_blocks import CacheBlock
from core.models.logical import Shape

_SECONDS = 120
_MOST_LAYERS = 1000
_TOKENS = 4


@dataclass(frozen=True)
class Built:
    """A model as transformers builds it."""

    shapes: dict[str, Shape]
    """Of each parameter by name, tied ones once."""
    blocks: Counter[CacheBlock] | None
    """What blocks cache of a token; None where that cannot be tried without weights."""


def built(config: Mapping[str, object]) -> Built | None:
    """The model of a config.json; None where transformers cannot build it."""
    try:
        text = json.dumps(config, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return None
    return _built(text)


@lru_cache(maxsize=64)
def _built(text: str) -> Built | None:
    if {"torch", "transformers"} <= sys.modules.keys():
        return _read(_build(text))
    try:
        done = subprocess.run([sys.executable, "-m", __name__], input=text, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return _read(done.stdout.rpartition("\n")[2]) if done.returncode == 0 else None


def _read(answer: str) -> Built | None:
    found = json.loads(answer or "null")
    if found is None:
        return None
    blocks = None if found["blocks"] is None else Counter(CacheBlock(*block) for block in found["blocks"])
    return Built({name: tuple(shape) for name, shape in found["shapes"].items()}, blocks)


def _build(text: str) -> str:
    """One line of JSON: null, or the shapes and what each block caches."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    raw = json.loads(text)
    for key in ("quantization_config", "compression_config", "auto_map"):
        raw.pop(key, None)
    try:
        with TemporaryDirectory(prefix="llmopt-config-") as folder:
            Path(folder, "config.json").write_text(json.dumps(raw))
            config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        if getattr(config.get_text_config(), "num_hidden_layers", 0) > _MOST_LAYERS:
            return "null"
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    except Exception:  # transformers raises whatever a configuration led it to
        return "null"
    shapes = {name: list(parameter.shape) for name, parameter in model.named_parameters()}
    return json.dumps({"shapes": shapes, "blocks": _cached(model)})


def _cached(model: Any) -> list[tuple[int, int, int | None]] | None:
    import torch

    try:
        with torch.no_grad():
            answer = model.eval()(input_ids=torch.zeros(1, _TOKENS, dtype=torch.long, device="meta"), use_cache=True)
        layers = answer.past_key_values.layers
        kept = [layer for layer in layers if getattr(layer, "keys", None) is not None]
        if not layers or any(layer.keys.shape[-2] != _TOKENS for layer in kept):
            return None
        return [(layer.keys.numel() // _TOKENS, layer.values.numel() // _TOKENS, getattr(layer, "sliding_window", None)) for layer in kept]
    except Exception:  # control flow that depends on values, or a cache of another kind
        return None


if __name__ == "__main__":
    sys.stdout.write(_build(sys.stdin.read()))
