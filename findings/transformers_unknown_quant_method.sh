#!/usr/bin/env bash
# transformers 5.23.0: a checkpoint whose quant_method it does not know is loaded as if it were not quantized, with the codes as weights.
#
# Expected: `from_pretrained` refuses a `quantization_config` that names a method it cannot read, as it refuses an unknown architecture: the file
# says that its numbers are codes, and what they mean is not known.
# Seen: a warning in the log ("Unknown quantization type"), then float8 codes are cast to the model's dtype and taken for weights, here some
# thousand times too large; the scales are listed as unexpected keys that "can be ignored". A perplexity of such a model is a number about codes.
# The checkpoint has the layout that ModelOpt writes for FP8: float8_e4m3fn weights, a `weight_scale` each, quant_method "modelopt".
#
# Output seen:
#   raised: nothing
#   weights are the codes: True
#   scales are unexpected keys: True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check torch==2.13.0 transformers==5.23.0 safetensors==0.8.0
cat > "$folder/load.py" <<'PYTHON'
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

folder = Path(sys.argv[1])
torch.manual_seed(0)
shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 64}
LlamaForCausalLM(LlamaConfig(**shape)).bfloat16().save_pretrained(folder)
stored = {}
for name, tensor in load_file(folder / "model.safetensors").items():
    if name.endswith("proj.weight"):
        scale = tensor.float().abs().max() / 448
        stored[name], stored[f"{name}_scale"] = (tensor.float() / scale).to(torch.float8_e4m3fn), scale
    else:
        stored[name] = tensor
save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
config = json.loads((folder / "config.json").read_text())
config["quantization_config"] = {"quant_method": "modelopt", "quant_algo": "FP8"}
(folder / "config.json").write_text(json.dumps(config))

model, found = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
print("raised: nothing")
codes = all(torch.equal(tensor, stored[name].float()) for name, tensor in model.state_dict().items() if name.endswith("proj.weight"))
print(f"weights are the codes: {codes}")
scales = {name for name in stored if name.endswith("_scale")}
print(f"scales are unexpected keys: {scales == set(found['unexpected_keys'])}")
sys.exit(0 if codes and scales == set(found["unexpected_keys"]) else 1)
PYTHON
HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error "$folder/env/bin/python" "$folder/load.py" "$folder"
