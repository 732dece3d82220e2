"""MODEL OUT.safetensors: the dequantized weight of every quantized linear, as transformers with bitsandbytes loads it."""

import sys

import bitsandbytes as bnb
import torch
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

folder, out = sys.argv[1:3]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, device_map="cpu")
found = {}
for name, module in model.named_modules():
    if isinstance(module, Linear4bit):
        found[name] = bnb.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
    elif isinstance(module, Linear8bitLt):
        found[name] = module.weight.CB.float() * module.weight.SCB.float().unsqueeze(1) / 127
save_file({name: tensor.clone().contiguous() for name, tensor in found.items()}, out)
