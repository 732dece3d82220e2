"""Builds the model of a configuration on the meta device and says what it consists of, as a line of JSON. See `core.models.meta`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

_MOST_LAYERS = 1000
_TOKENS = 4


def build(text: str) -> str:
    """One line of JSON: null, or the shapes and what each block caches."""
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
    sys.stdout.write(build(sys.stdin.read()))
