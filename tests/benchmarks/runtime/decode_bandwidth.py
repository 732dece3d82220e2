"""Share of a GPU's memory bandwidth that decoding reaches, beside transformers' `generate`: a random model of Llama-3-8B's shape, bfloat16, batch 1.

At batch 1 each token reads every weight once (the embedding apart), so that tokens/s times those bytes is the bandwidth used. The share is of
the bandwidth that the device states (NVML: memory clock, two transfers a cycle, times bus width); what a large copy
reaches is given beside it. Published by others, not measured here: gpt-fast states 72 % for Llama-2-7B in bfloat16 on an A100-80GB
(PyTorch blog, "Accelerating Generative AI with PyTorch II", 2023), with torch.compile.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from core.runtime.fused.compile import use_compiled
from core.runtime.fused.cuda_graph import use_cuda_graph
from core.runtime.fused.decoder import FusedDecoder
from core.runtime.generate import generate
from tests.benchmarks.report import CANNOT_RUN_HERE, Bar, record

SHAPE: dict[str, Any] = {
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
}
PROMPT = 32
PUBLISHED_GPT_FAST = 0.72
BARS: dict[str, Bar] = {"speedup_best": (">", 1.0), "share_of_bandwidth_best": (">=", PUBLISHED_GPT_FAST)}


def main() -> bool:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks decode_bandwidth", description=__doc__)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-compile", action="store_true", help="leave out the compiled step (minutes of compilation)")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("decode_bandwidth needs a CUDA GPU with 40 GB of free memory, and this machine has none", file=sys.stderr)
        sys.exit(CANNOT_RUN_HERE)
    tokens = arguments.tokens
    model = random_model()
    prompt = torch.randint(2, SHAPE["vocab_size"], (1, PROMPT), device="cuda")
    decoder = FusedDecoder(model, PROMPT + tokens)
    figures: dict[str, Any] = device_figures() | {
        "parameters": model.num_parameters(),
        "tokens": tokens,
        "published_share_gpt_fast": PUBLISHED_GPT_FAST,
    }
    read = sum(weight.nbytes for weight in model.parameters()) - model.get_input_embeddings().weight.nbytes

    def transformers_way() -> None:
        options = {"attention_mask": torch.ones_like(prompt), "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        model.generate(prompt, max_new_tokens=tokens, **options)

    def own_way() -> None:
        generate(decoder, prompt, max_new_tokens=tokens)

    seconds = {"generate": best(transformers_way, tokens, arguments.repeats), "loop": best(own_way, tokens, arguments.repeats)}
    for name, prepare in {
        "cuda_graph": lambda: use_cuda_graph(decoder),
        "compiled": lambda: use_compiled(decoder),
        "compiled_cuda_graph": lambda: use_cuda_graph(decoder, compiled=True),
    }.items():
        if arguments.no_compile and "compiled" in name:
            continue
        reason = prepare()
        if reason is None:
            seconds[name] = best(own_way, tokens, arguments.repeats)
        else:
            figures[f"not_run_{name}"] = reason
    for name, each in seconds.items():
        figures[f"tokens_per_second_{name}"] = 1 / each
        figures[f"share_of_bandwidth_{name}"] = read / each / figures["stated_bytes_per_second"]
    fastest = min(each for name, each in seconds.items() if name != "generate")
    figures["speedup_best"] = seconds["generate"] / fastest
    figures["share_of_bandwidth_best"] = read / fastest / figures["stated_bytes_per_second"]
    figures["share_of_copy_best"] = read / fastest / figures["copied_bytes_per_second"]
    return record("decode_bandwidth", figures, BARS)


def random_model() -> Any:
    """Weights made on the device, in bfloat16."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            return LlamaForCausalLM(LlamaConfig(**SHAPE, bos_token_id=None, eos_token_id=None)).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(torch.float32)


def device_figures() -> dict[str, Any]:
    """Name of the device, the bandwidth it states, and that of a copy of 4 GiB (read and written)."""
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    transfers = 2e6 * pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_MEM)
    source = torch.empty(1 << 32, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    each = best(lambda: target.copy_(source), 1, 5)
    return {
        "gpu": torch.cuda.get_device_name(0),
        "stated_bytes_per_second": transfers * pynvml.nvmlDeviceGetMemoryBusWidth(handle) / 8,
        "copied_bytes_per_second": 2 * source.nbytes / each,
    }


def best(run: Callable[[], object], tokens: int, repeats: int) -> float:
    """Best seconds a token after one run to warm up; prompt included."""
    run()
    least = float("inf")
    for _ in range(repeats):
        torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        torch.cuda.synchronize()
        least = min(least, time.perf_counter() - began)
    return least / tokens


if __name__ == "__main__":
    sys.exit(not main())
