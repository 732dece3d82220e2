"""MODEL TOKENS.json OUT.npy DTYPE: logits [N, T, V] by whatever transformers and its plug-ins make of a checkpoint."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

folder, tokens, out, dtype = sys.argv[1:5]
windows = torch.tensor(json.loads(Path(tokens).read_text()))
model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), device_map="cpu" if len(sys.argv) > 5 else None).eval()
with torch.inference_mode():
    found = [model(window[None]).logits.float() for window in windows]
np.save(out, torch.cat(found).numpy())
