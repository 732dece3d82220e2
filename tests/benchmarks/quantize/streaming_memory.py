"""Peak memory of quantizing a 1.1B-parameter Llama (TinyLlama's shape, random weights) block by block.

Each method runs in a process of its own; the peak is that process's largest resident set (VmHWM).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from core.formats.writing.shards import ShardWriter
from core.models.resolve import resolve
from core.models.source import require_folder
from tests.benchmarks.report import Bar, record

TINYLLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "dtype": "bfloat16",
    "bos_token_id": 0,
    "eos_token_id": 1,
}
METHODS = {
    "rtn": {"method": "rtn", "eval_tokens": 0},
    "gptq": {"method": "gptq", "eval_tokens": 0, "calibration_samples": 16, "calibration_length": 512},
}
BARS: dict[str, Bar] = {"peak_rss_bytes_rtn": ("<=", 1.2e9), "peak_rss_bytes_gptq": ("<=", 2.0e9)}


def make_model(folder: Path) -> None:
    """Random weights in bfloat16, written tensor by tensor; the tokenizer is the bundled models'."""
    torch.manual_seed(0)
    hidden, inner, heads = 2048, 5632, 256
    shapes = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (heads, hidden),
        "self_attn.v_proj": (heads, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    with ShardWriter(folder) as writer:
        for name in ("model.embed_tokens", "lm_head"):
            writer.add(f"{name}.weight", (0.02 * torch.randn(32000, hidden)).bfloat16())
        for layer in range(22):
            for name, shape in shapes.items():
                writer.add(f"model.layers.{layer}.{name}.weight", (0.02 * torch.randn(shape)).bfloat16())
            for name in ("input_layernorm", "post_attention_layernorm"):
                writer.add(f"model.layers.{layer}.{name}.weight", torch.ones(hidden, dtype=torch.bfloat16))
        writer.add("model.norm.weight", torch.ones(hidden, dtype=torch.bfloat16))
        writer.finish(TINYLLAMA, require_folder(resolve("bundled:base")))


def quantize(model: Path, method: str, folder: Path) -> None:
    """In the child process: run once and print the metrics as JSON."""
    from core.quantize.run import run
    from core.quantize.spec import QuantizeSpec
    from tests.benchmarks._silent import SilentContext

    result = run(QuantizeSpec.model_validate({"model": str(model)} | METHODS[method]), SilentContext(folder))
    print(result.metrics.model_dump_json())


def main() -> bool:
    """Make the model, measure each method, print and record."""
    figures: dict[str, float] = {}
    work = Path(tempfile.mkdtemp(prefix="llmopt-memory-"))
    try:
        make_model(work / "model")
        for method in METHODS:
            folder = work / method
            folder.mkdir()
            command = [sys.executable, "-m", "tests.benchmarks.quantize.streaming_memory", str(work / "model"), method, str(folder)]
            metrics = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            shutil.rmtree(folder)
            figures |= {f"peak_rss_bytes_{method}": metrics["peak_rss_bytes"], f"seconds_{method}": metrics["seconds"]}
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return record("streaming_memory", figures, BARS)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        quantize(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    else:
        sys.exit(not main())
