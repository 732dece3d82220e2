#!/usr/bin/env bash
# transformers 5.23.0: Qwen3-MoE ignores max_window_layers, which Qwen3 follows: with use_sliding_window every block has the window.
#
# Expected: a config.json with `use_sliding_window: true` and `max_window_layers: 3` of 4 blocks leaves the first three with full attention, as Qwen3
# does, whose configuration makes `layer_types` from the two fields; files of the MoE family carry the same fields.
# Seen: Qwen3MoeConfig keeps `max_window_layers` as an attribute that nothing reads, and all four blocks attend within the window. Keys that the cache
# keeps after 30 tokens with a window of 8 show it: 7 in every block, where Qwen3 keeps 30, 30, 30 and 7. Nothing is logged.
#
# Output seen:
#   qwen3      keys kept: [30, 30, 30, 7]
#   qwen3_moe  keys kept: [7, 7, 7, 7]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check torch==2.13.0 transformers==5.23.0
cat > "$folder/windows.py" <<'PYTHON'
import sys

import torch
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3MoeConfig

shape = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "head_dim": 16}
heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
window = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 3}
experts = {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}
configs = {"qwen3": Qwen3Config(**shape, **heads, **window), "qwen3_moe": Qwen3MoeConfig(**shape, **heads, **window, **experts)}
kept = {}
for name, config in configs.items():
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        cache = model(torch.arange(30)[None], use_cache=True).past_key_values
    kept[name] = [layer.keys.shape[2] for layer in cache.layers]
    print(f"{name:<10} keys kept: {kept[name]}")
sys.exit(0 if kept == {"qwen3": [30, 30, 30, 7], "qwen3_moe": [7, 7, 7, 7]} else 1)
PYTHON
HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error "$folder/env/bin/python" "$folder/windows.py"
