"""Wanda and SparseGPT at 50 % from a checkpoint to a checkpoint on a 12-layer, 768-wide random Llama, next to llm-compressor.

LLMOPT_PEER_LLMCOMPRESSOR names the Python of an environment that has llm-compressor; without it this cannot be measured. The same tokens, the same
machine, processes in turns. Time is counted twice, from process start to end and without imports, and the less favourable ratio counts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from core import text
from core.calibration.windows import calibration_windows
from core.models.resolve import resolve
from core.models.source import require_folder
from core.models.stream.streaming import load_tokenizer
from tests.benchmarks.quantize.gptq_end_to_end import divergence, measure
from tests.benchmarks.report import CANNOT_RUN_HERE, Bar, record
from tests.peers.environments import interpreter, variable

SAMPLES, LENGTH, SEED = 32, 512, 0
PEER = Path(__file__).with_name("_llmcompressor_prune.py")
SHAPE: dict[str, Any] = {
    "vocab_size": 4096,
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
REQUEST = {
    "sparsity": 0.5,
    "eval_tokens": 0,
    "speed_tokens": 0,
    "calibration_samples": SAMPLES,
    "calibration_length": LENGTH,
}
BARS: dict[str, Bar] = {
    "time_ratio_sparsegpt": ("<=", 0.45),
    "peak_memory_ratio_sparsegpt": ("<=", 0.60),
    "divergence_ratio_sparsegpt": ("<=", 1.05),
    "time_ratio_wanda": ("<=", 0.35),
    "peak_memory_ratio_wanda": ("<=", 0.50),
    "divergence_ratio_wanda": ("<=", 1.05),
}


def make_model(folder: Path) -> None:
    """Random weights in bfloat16 with the bundled models' tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SHAPE)).bfloat16().save_pretrained(folder)
    bundled = require_folder(resolve("bundled:base"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bundled / name, folder / name)


def ours(model: Path, work: Path, method: str) -> None:
    """In a child process: prune and print seconds and memory."""
    from core.prune.run import run
    from core.prune.spec import PruneSpec
    from tests.benchmarks._silent import SilentContext

    spec = PruneSpec.model_validate({"model": str(model), "out": str(work / "checkpoint"), "seed": SEED, "method": method} | REQUEST)
    result = run(spec, SilentContext(work))
    print(json.dumps({"seconds": result.metrics.seconds, "peak_rss_bytes": result.metrics.peak_rss_bytes}))


def compared(method: str, peer: str, repeats: int, model: Path, tokens: Path, work: Path, held_out: torch.Tensor) -> dict[str, Any]:
    """Figures of one method, both sides in turns."""
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": []}
    for _ in range(repeats):
        for side, found in runs.items():
            folder = work / f"{method}-{side}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            mine = [sys.executable, "-m", "tests.benchmarks.prune.prune_end_to_end", str(model), str(folder), method]
            found.append(measure(mine if side == "ours" else [peer, str(PEER), str(model), str(tokens), str(folder / "checkpoint"), method]))
    distances = {side: divergence(model, work / f"{method}-{side}" / "checkpoint", held_out) for side in runs}
    figures: dict[str, Any] = {"llmcompressor": runs["theirs"][0]["version"]}
    for side, found in runs.items():
        for figure in ("seconds", "seconds_process", "cpu_seconds", "peak_rss_bytes"):
            figures[f"{figure}_{method}_{side}"] = min(run[figure] for run in found)
        figures[f"kl_{method}_{side}"] = distances[side]

    def ratio(figure: str) -> float:
        return float(figures[f"{figure}_{method}_ours"] / figures[f"{figure}_{method}_theirs"])

    figures[f"time_ratio_{method}"] = max(ratio("seconds"), ratio("seconds_process"))
    figures[f"cpu_time_ratio_{method}"] = ratio("cpu_seconds")
    figures[f"peak_memory_ratio_{method}"] = ratio("peak_rss_bytes")
    figures[f"divergence_ratio_{method}"] = ratio("kl")
    return figures


def main() -> bool:
    """Measure, print and record; exits with 77 without the peer."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks prune_end_to_end", description=__doc__)
    parser.add_argument("--peer", default=interpreter("llmcompressor"), help="Python of an environment with llm-compressor")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.peer is None or not Path(arguments.peer).is_file():
        print(f"needs llm-compressor in an environment of its own: set {variable('llmcompressor')} to its python", file=sys.stderr)
        sys.exit(CANNOT_RUN_HERE)
    with tempfile.TemporaryDirectory(prefix="llmopt-prune-") as name:
        work = Path(name)
        model, tokens = work / "model", work / "tokens.json"
        make_model(model)
        corpus = text.load("builtin", split="train")
        tokens.write_text(json.dumps(calibration_windows(corpus, load_tokenizer(model), SAMPLES, LENGTH, SEED).tolist()))
        held_out = calibration_windows(text.load("builtin"), load_tokenizer(model), 4, 256, SEED)
        figures: dict[str, Any] = {"threads": torch.get_num_threads()}
        for method in ("sparsegpt", "wanda"):
            figures |= compared(method, arguments.peer, arguments.repeats, model, tokens, work, held_out)
    return record("prune_end_to_end", figures, BARS)


if __name__ == "__main__":
    if len(sys.argv) == 4 and Path(sys.argv[1]).is_dir():
        ours(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    else:
        sys.exit(not main())
