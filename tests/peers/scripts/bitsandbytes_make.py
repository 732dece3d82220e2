"""MODEL TOKENS.json OUT SETTINGS: a checkpoint quantized while transformers loads it with bitsandbytes. The tokens are not looked at."""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

folder, _, out, settings = sys.argv[1:5]
config = BitsAndBytesConfig(**json.loads(settings))
AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, quantization_config=config, device_map="cpu").save_pretrained(out)
AutoTokenizer.from_pretrained(folder).save_pretrained(out)
