"""GPTQ from a checkpoint to a checkpoint, W4 g128 on a 12-layer, 768-wide random Llama, beside llm-compressor: same tokens, same machine, same run.

LLMOPT_PEER_LLMCOMPRESSOR names the Python of an environment that has llm-compressor; without it this cannot be measured.
Each side runs in processes of its own, taken in turns. Time is counted twice, from process start to end and without imports, and the less favourable
quotient is held against the bar; processor time, which other programs on the machine touch less, is printed beside it. Memory is the largest
resident set of the process. That both did the same work shows in the divergence of both checkpoints from the original.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from core import text
from core.calibration.windows import calibration_windows
from core.models.resolve import resolve
from core.models.source import require_folder
from core.models.stream.streaming import load_model, load_tokenizer
from tests.benchmarks.report import CANNOT_RUN_HERE, Bar, record
from tests.peers.environments import interpreter, variable

SAMPLES, LENGTH, SEED = 32, 512, 0
PEER = Path(__file__).with_name("_llmcompressor_gptq.py")
SHAPE: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}
REQUEST = {"method": "gptq", "bits": 4, "group_size": 128, "eval_tokens": 0, "calibration_samples": SAMPLES, "calibration_length": LENGTH}
BARS: dict[str, Bar] = {"time_ratio": ("<=", 0.50), "peak_memory_ratio": ("<=", 0.60), "divergence_ratio": ("<=", 1.1)}


def make_model(folder: Path) -> None:
    """Random weights in bfloat16 with the bundled models' tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SHAPE)).bfloat16().save_pretrained(folder)
    bundled = require_folder(resolve("bundled:base"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bundled / name, folder / name)


def ours(model: Path, work: Path) -> None:
    """In a child process: quantize and print seconds and memory."""
    from core.quantize.run import run
    from core.quantize.spec import QuantizeSpec
    from tests.benchmarks._silent import SilentContext

    result = run(QuantizeSpec.model_validate({"model": str(model), "out": str(work / "checkpoint"), "seed": SEED} | REQUEST), SilentContext(work))
    print(json.dumps({"seconds": result.metrics.seconds, "peak_rss_bytes": result.metrics.peak_rss_bytes}))


def measure(command: list[str]) -> dict[str, Any]:
    """Run a child and add its whole time to the figures in its last line."""
    environ = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1]) | {"seconds_process": seconds, "cpu_seconds": busy}


@torch.no_grad()
def divergence(original: Path, checkpoint: Path, tokens: torch.Tensor) -> float:
    """Mean KL divergence of a checkpoint, loaded by transformers, from the original."""
    logits = [load_model(folder, torch.float32)(tokens).logits.log_softmax(dim=-1) for folder in (original, checkpoint)]
    return float((logits[0].exp() * (logits[0] - logits[1])).sum(dim=-1).mean())


def main() -> bool:
    """Measure, print and record; exits with 77 without the peer."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks gptq_end_to_end", description=__doc__)
    parser.add_argument("--peer", default=interpreter("llmcompressor"), help="Python of an environment with llm-compressor")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.peer is None or not Path(arguments.peer).is_file():
        print(f"needs llm-compressor in an environment of its own: set {variable('llmcompressor')} to its python", file=sys.stderr)
        sys.exit(CANNOT_RUN_HERE)
    with tempfile.TemporaryDirectory(prefix="llmopt-gptq-") as name:
        work = Path(name)
        model, tokens = work / "model", work / "tokens.json"
        make_model(model)
        corpus = text.load("builtin", split="train")
        tokens.write_text(json.dumps(calibration_windows(corpus, load_tokenizer(model), SAMPLES, LENGTH, SEED).tolist()))
        runs: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": []}
        for _ in range(arguments.repeats):
            for side, found in runs.items():
                folder = work / side
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                mine = [sys.executable, "-m", "tests.benchmarks.quantize.gptq_end_to_end", str(model), str(folder)]
                peer = [arguments.peer, str(PEER), str(model), str(tokens), str(folder / "checkpoint")]
                found.append(measure(mine if side == "ours" else peer))
        held_out = calibration_windows(text.load("builtin"), load_tokenizer(model), 4, 256, SEED)
        distances = {side: divergence(model, work / side / "checkpoint", held_out) for side in runs}
    figures: dict[str, Any] = {"threads": torch.get_num_threads(), "llmcompressor": runs["theirs"][0]["version"]}
    for side, found in runs.items():
        for figure in ("seconds", "seconds_process", "cpu_seconds", "peak_rss_bytes"):
            figures[f"{figure}_{side}"] = min(run[figure] for run in found)
        figures[f"kl_{side}"] = distances[side]
    ratios = [figures[f"{figure}_ours"] / figures[f"{figure}_theirs"] for figure in ("seconds", "seconds_process")]
    figures |= {"time_ratio_without_imports": ratios[0], "time_ratio_of_processes": ratios[1], "time_ratio": max(ratios)}
    figures["cpu_time_ratio"] = figures["cpu_seconds_ours"] / figures["cpu_seconds_theirs"]
    figures["peak_memory_ratio"] = figures["peak_rss_bytes_ours"] / figures["peak_rss_bytes_theirs"]
    figures["divergence_ratio"] = distances["ours"] / distances["theirs"]
    return record("gptq_end_to_end", figures, BARS)


if __name__ == "__main__":
    if len(sys.argv) == 3 and Path(sys.argv[1]).is_dir():
        ours(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        sys.exit(not main())
