"""Decoding a 0.5B random Llama with packed weights beside transformers' bf16 `generate`: same prompt, dtype and threads, taken in turns.

Batch 1, greedy. What is quantized: all linears of all blocks, to nearest (how well a method rounds does not change the speed), and the head
to INT8 with one scale a row; `head_bf16` figures leave the head in bfloat16. The decode loop is core.runtime's; `loop_bf16` is the same loop on plain
bfloat16 weights, so that what the loop gives and what the kernels give can be told apart.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from core.numerics.grid import Grid
from core.numerics.tensor import QuantizedTensor
from core.quantize.linear import rtn
from core.runtime.fused.decoder import FusedDecoder
from core.runtime.generate import generate as decode
from tests.benchmarks.report import Bar, record

SHAPE: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 8,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}
PROMPT = 32
GRIDS = {
    "int4": Grid(bits=4, symmetric=True, granularity="group", group_size=128, scale_dtype=torch.bfloat16),
    "int8": Grid(bits=8, symmetric=True, granularity="channel", scale_dtype=torch.bfloat16),
}
BARS: dict[str, Bar] = {"speedup_int4": (">=", 2.5), "speedup_int8": (">=", 1.2)}


def quantized(model: nn.Module, grid: Grid, *, head: bool) -> dict[str, QuantizedTensor]:
    """Every linear by its name; the head, if at all, in INT8."""
    linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear) and (head or name != "lm_head")}
    return {
        name: rtn.quantize(linear.weight.detach().float(), None, GRIDS["int8"] if name == "lm_head" else grid) for name, linear in linears.items()
    }


def main() -> bool:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks packed_decode", description=__doc__)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokens = arguments.tokens
    config = LlamaConfig(**SHAPE, dtype="bfloat16", bos_token_id=None, eos_token_id=None, pad_token_id=0)
    model = LlamaForCausalLM(config).bfloat16().eval()
    prompt = torch.randint(0, 32000, (1, PROMPT))
    decoders = {"loop_bf16": FusedDecoder(model, PROMPT + tokens)}
    for name, grid in GRIDS.items():
        weights = quantized(model, grid, head=True)
        decoders[name] = FusedDecoder(model, PROMPT + tokens, weights)
        weights.pop("lm_head")
        decoders[f"{name}_head_bf16"] = FusedDecoder(model, PROMPT + tokens, weights)

    def generate(count: int) -> None:
        with torch.inference_mode():
            model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=count, min_new_tokens=count, do_sample=False)

    def looped(decoder: FusedDecoder) -> Callable[[int], object]:
        return lambda count: decode(decoder, prompt, max_new_tokens=count)

    ways: dict[str, Callable[[int], object]] = {"generate_bf16": generate} | {name: looped(decoder) for name, decoder in decoders.items()}
    seconds = measure(ways, tokens, arguments.repeats)
    figures: dict[str, object] = {"parameters": model.num_parameters(), "threads": torch.get_num_threads(), "tokens": tokens}
    for name, decoder in decoders.items():
        figures[f"kernels_{name}"] = ", ".join(sorted(set(decoder.kernels.values()))) or "plain"
    for name, each in seconds.items():
        figures[f"ms_a_token_{name}"] = 1000 * each
    for name in decoders:
        figures[f"speedup_{name}"] = seconds["generate_bf16"] / seconds[name]
    return record("packed_decode", figures, BARS)


def measure(ways: dict[str, Callable[[int], object]], tokens: int, repeats: int) -> dict[str, float]:
    """Best seconds a token of each way; the prompt's share is taken out by decoding two lengths."""
    best: dict[str, tuple[float, float]] = {}
    short = max(tokens // 4, 1)
    for way in ways.values():
        way(2)
    for _ in range(repeats):
        for name, way in ways.items():
            long_time, short_time = _timed(way, tokens), _timed(way, short)
            known = best.get(name, (float("inf"), float("inf")))
            best[name] = min(known[0], long_time), min(known[1], short_time)
    return {name: (long_time - short_time) / (tokens - short) for name, (long_time, short_time) in best.items()}


def _timed(way: Callable[[int], object], count: int) -> float:
    began = time.perf_counter()
    way(count)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(not main())
