"""llm-compressor's side of prune_end_to_end: run by the Python of its own environment, imports nothing of this project.

python _llmcompressor_prune.py MODEL TOKENS.json OUT METHOD
"""

from __future__ import annotations

import json
import sys
import time
from importlib import metadata
from pathlib import Path


def main(model_folder: str, tokens_file: str, out: str, method: str) -> None:
    """Prune half of the weights and print seconds and memory as one line of JSON."""
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.pruning import SparseGPTModifier, WandaPruningModifier
    from transformers import AutoModelForCausalLM, AutoTokenizer

    modifier = {"sparsegpt": SparseGPTModifier, "wanda": WandaPruningModifier}[method]
    began = time.monotonic()
    windows = json.loads(Path(tokens_file).read_text())
    dataset = Dataset.from_dict({"input_ids": windows, "attention_mask": [[1] * len(window) for window in windows]})
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype="auto")
    oneshot(
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(model_folder),
        dataset=dataset,
        recipe=modifier(sparsity=0.5, mask_structure="0:0", targets=["Linear"], ignore=["re:.*lm_head"]),
        max_seq_length=len(windows[0]),
        num_calibration_samples=len(windows),
        output_dir=out,
    )
    seconds = time.monotonic() - began
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    print(json.dumps({"seconds": seconds, "peak_rss_bytes": int(peak.split()[1]) * 1024, "version": metadata.version("llmcompressor")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
