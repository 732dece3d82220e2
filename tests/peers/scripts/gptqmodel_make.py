"""MODEL TOKENS.json OUT SETTINGS: a GPTQ checkpoint by gptqmodel."""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")

from gptqmodel import GPTQModel, QuantizeConfig

folder, tokens, out, settings = sys.argv[1:5]
windows = json.loads(Path(tokens).read_text())
model = GPTQModel.load(folder, QuantizeConfig(**json.loads(settings)), device="cpu")
model.quantize([{"input_ids": window, "attention_mask": [1] * len(window)} for window in windows], batch_size=1)
model.save(out)
