"""MODEL TOKENS.json OUT SETTINGS: a checkpoint by auto-round, in the format that SETTINGS name; `iters` 0 rounds to nearest."""

import json
import sys
from pathlib import Path

import torch
from auto_round import AutoRound
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, tokens, out, settings = sys.argv[1:5]
windows, wanted = json.loads(Path(tokens).read_text()), json.loads(settings)
written_as = wanted.pop("format")
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
data = [{"input_ids": torch.tensor([window])} for window in windows]
rounding = AutoRound(
    model, AutoTokenizer.from_pretrained(folder), dataset=data, seqlen=len(windows[0]), nsamples=len(windows), device_map="cpu", **wanted
)
rounding.quantize_and_save(out, format=written_as)
inner = [entry for entry in Path(out).iterdir() if entry.is_dir()]
if len(inner) == 1:
    for file in inner[0].iterdir():
        file.rename(Path(out) / file.name)
