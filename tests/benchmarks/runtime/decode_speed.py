"""Tokens a second of this program's decode loop beside transformers' `generate`: same model, prompt, dtype and threads, taken in turns.

Batch 1, greedy, without compilation. Figures are of the whole call, prompt included, the best of all turns; in float32 both must
write the same tokens. `--compiled` takes transformers with a compiled forward and a static cache along as a peer (needs a C++ compiler and minutes).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from core.models.load import load_model
from core.models.resolve import resolve
from core.runtime.fused.compile import use_compiled
from core.runtime.fused.decoder import FusedDecoder
from core.runtime.generate import generate
from tests.benchmarks.report import Bar, record
from tests.benchmarks.runtime.packed_decode import SHAPE

PROMPT = 32
Way = Callable[[], list[int]]
BARS: dict[str, Bar] = {
    "speedup_base_float32": (">=", 2.0),
    "speedup_base_bfloat16": (">=", 2.0),
    "speedup_half_billion_bfloat16": (">=", 1.0),
    "same_tokens_base_float32": ("==", 1.0),
}


def main() -> bool:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks decode_speed", description=__doc__)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--large-tokens", type=int, default=32, help="tokens of the 0.5B model; 0 leaves it out")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compiled", action="store_true", help="transformers compiled, with a static cache, as a peer")
    arguments = parser.parse_args()
    if arguments.compiled and shutil.which("g++") is None and shutil.which("clang++") is None:
        parser.error("--compiled needs a C++ compiler: install g++ or clang++, or leave it out")
    figures: dict[str, Any] = {"threads": torch.get_num_threads(), "prompt_tokens": PROMPT, "tokens": arguments.tokens}
    for dtype in (torch.float32, torch.bfloat16):
        model: Any = load_model(resolve("bundled:base"), dtype)
        compare(f"base_{str(dtype)[6:]}", model, arguments.tokens, arguments.repeats, figures, compiled=arguments.compiled)
    if arguments.large_tokens:
        figures["large_tokens"] = arguments.large_tokens
        compare("half_billion_bfloat16", half_billion(), arguments.large_tokens, max(arguments.repeats // 2, 1), figures, compiled=False)
    bars = {name: bar for name, bar in BARS.items() if arguments.large_tokens or "half" not in name}
    return record("decode_speed", figures, bars)


def half_billion() -> Any:
    """A random Llama of 0.5B parameters in bfloat16."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(**SHAPE, dtype="bfloat16", bos_token_id=None, eos_token_id=None, pad_token_id=0)
    return LlamaForCausalLM(config).bfloat16().eval().requires_grad_(False)


def compare(name: str, model: Any, tokens: int, repeats: int, figures: dict[str, Any], *, compiled: bool) -> None:
    """Add the figures of one model."""
    prompt = torch.randint(2, model.config.vocab_size, (1, PROMPT), generator=torch.Generator().manual_seed(0))
    decoder = FusedDecoder(model, PROMPT + tokens)
    ways: dict[str, Way] = {
        "transformers": lambda: by_transformers(model, prompt, tokens),
        "llmopt": lambda: generate(decoder, prompt, max_new_tokens=tokens).tokens[0],
    }
    if compiled:
        ways["transformers_compiled"] = compiled_way(model, prompt, tokens)
        second = decoder.skipping(())
        if (reason := use_compiled(second)) is None:
            ways["llmopt_compiled"] = lambda: generate(second, prompt, max_new_tokens=tokens).tokens[0]
        else:
            figures[f"not_run_{name}_llmopt_compiled"] = reason
    texts = {way: run() for way, run in ways.items()}
    seconds = in_turns(ways, repeats)
    for way, each in seconds.items():
        figures[f"tokens_per_second_{name}_{way}"] = tokens / each
    figures[f"speedup_{name}"] = seconds["transformers"] / seconds["llmopt"]
    if compiled:
        figures[f"speedup_{name}_over_compiled"] = seconds["transformers_compiled"] / seconds["llmopt"]
    figures[f"same_tokens_{name}"] = sum(a == b for a, b in zip(*list(texts.values())[:2], strict=True)) / tokens


def by_transformers(model: Any, prompt: torch.Tensor, tokens: int, **options: Any) -> list[int]:
    """Greedy `generate` of exactly so many tokens."""
    with torch.inference_mode():
        options |= {"attention_mask": torch.ones_like(prompt), "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        written: list[int] = model.generate(prompt, max_new_tokens=tokens, **options)[0, PROMPT:].tolist()
    return written


def compiled_way(model: Any, prompt: torch.Tensor, tokens: int) -> Way:
    """The same with the forward compiled and a cache of fixed shape, so that one compilation serves all steps."""
    plain = model.forward
    forward = torch.compile(plain, dynamic=False)

    def run() -> list[int]:
        model.forward = forward
        try:
            return by_transformers(model, prompt, tokens, cache_implementation="static", disable_compile=True)
        finally:
            model.forward = plain

    return run


def in_turns(ways: Mapping[str, Way], repeats: int) -> dict[str, float]:
    """Best seconds of each way."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(repeats):
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - began)
    return best


if __name__ == "__main__":
    sys.exit(not main())
