"""MODEL TOKENS.json OUT SETTINGS: a compressed-tensors checkpoint by llm-compressor's one-shot quantization."""

import json
import sys
from pathlib import Path

from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import GPTQModifier, QuantizationModifier
from transformers import AutoModelForCausalLM

folder, tokens, out, settings = sys.argv[1:5]
windows, wanted = json.loads(Path(tokens).read_text()), json.loads(settings)
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
kind = {"gptq": GPTQModifier, "rtn": QuantizationModifier}[wanted.pop("method")]
recipe = kind(targets="Linear", ignore=["lm_head"], **wanted)
data = Dataset.from_dict({"input_ids": windows, "attention_mask": [[1] * len(window) for window in windows]})
oneshot(model=model, dataset=data, recipe=recipe, max_seq_length=len(windows[0]), num_calibration_samples=len(windows))
model.save_pretrained(out, save_compressed=True)
