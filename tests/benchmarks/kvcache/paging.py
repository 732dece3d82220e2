"""Waste of paged and of contiguous caches at 32 sequences of mixed lengths, and whether both give the same outputs.

A real decode of bundled:base in float32, 32 sequences at once, blocks of 16 tokens. Prompt lengths are log-uniform from 48 to 864 tokens (many
short, few long); each sequence then grows by 32 tokens, so that every filling of a last block occurs. Waste is the share of the slots set aside that
hold no token: of the blocks in use (paged), or of 32 caches pre-allocated to the model's context of 1,024 (contiguous). It is the mean of all steps;
nothing is shared; the block table is counted apart (`table_percent`).

`same_shapes`: the same batches on pages and on contiguous caches, where the outputs must be the same bits. `shared`: 32 sequences whose prompts begin
with the same 200 tokens, so that keys and values are found instead of computed; the outputs must be the same tokens. `layer_*`: the plug-in of one
batch against the static cache through the same decode loop. `pool_*`: the block pool alone, a token at a time.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from statistics import fmean
from typing import Any

import torch

from core import text
from core.evaluate.encoding import tokenize
from core.formats.opening import open_whole, tokenizer_of
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.pages.decode import PagedDecode
from core.kvcache.pages.requests import Request
from core.kvcache.storage.build import build_cache
from core.models.kv_geometry import Geometry
from core.models.resolve import resolve
from core.paging.block_pool import BlockPool
from core.runtime.generate import generate
from core.runtime.sampling import Sampling
from tests.benchmarks.report import Bar, record

SEQUENCES, BLOCK, SHORTEST, LONGEST = 32, 16, 48, 864
BARS: dict[str, Bar] = {
    "waste_percent": ("<", 4.0),
    "same_shapes_largest_difference": ("==", 0.0),
    "same_shapes_tokens_that_differ": ("==", 0),
    "shared_tokens_that_differ": ("==", 0),
    "layer_tokens_that_differ": ("==", 0),
}


def main() -> bool:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks paging", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    source = resolve("bundled:base")
    card, model = source.card(), open_whole(source, torch.float32)
    tokens = tokenize(text.builtin("held-out"), tokenizer_of(source), 60_000).tolist()
    lengths = mixed_lengths(arguments.seed)
    figures: dict[str, object] = {
        "threads": 1,
        "sequences": SEQUENCES,
        "block_size": BLOCK,
        "prompt_tokens_mean": fmean(lengths),
        "prompt_tokens_least_most": f"{min(lengths)} to {max(lengths)}",
        "new_tokens_each": arguments.new_tokens,
        "contiguous_tokens_each": card.context,
    }
    alone = [Request(index, tuple(tokens[index * 900 : index * 900 + length]), None, 1, arguments.new_tokens) for index, length in enumerate(lengths)]
    made = decode(model, Geometry.of(card, 4), (), alone, arguments.seed)
    slots = [used * BLOCK for used in made.usage.used]
    figures["waste_percent"] = 100 * fmean(1 - stored / room for stored, room in zip(made.usage.stored, slots, strict=True))
    figures["utilization_percent"] = 100 - float(str(figures["waste_percent"]))
    reserved = SEQUENCES * card.context
    figures["contiguous_waste_percent"] = 100 * fmean(1 - stored / reserved for stored in made.usage.tokens)
    figures["contiguous_utilization_percent"] = 100 - float(str(figures["contiguous_waste_percent"]))
    figures["table_percent"] = 100 * card.kv_heads * 8 / (made.pages.nbytes / made.pool.blocks)
    figures["bytes_paged"] = max(slots) * made.pages.nbytes // (made.pool.blocks * BLOCK)
    figures["bytes_contiguous"] = reserved * made.pages.nbytes // (made.pool.blocks * BLOCK)
    figures["same_shapes_tokens"] = made.compared.tokens
    figures["same_shapes_tokens_that_differ"] = made.compared.differing
    figures["same_shapes_largest_difference"] = made.compared.largest
    system = tuple(tokens[40_000:40_200])
    shared = [Request(index, request.tokens[: LONGEST - 200], None, 1, arguments.new_tokens) for index, request in enumerate(alone)]
    made = decode(model, Geometry.of(card, 4), system, shared, arguments.seed)
    figures["shared_hit_tokens"] = made.pool.hit_tokens
    figures["shared_tokens_that_differ"] = made.compared.differing
    figures["shared_largest_difference"] = made.compared.largest
    logical = max(made.usage.tokens)
    figures["shared_slots_a_token"] = max(made.usage.used) * BLOCK / logical
    figures |= layer(model, tokens, arguments.new_tokens)
    figures |= pool_speed(lengths, arguments.new_tokens)
    return record("paging", figures, BARS)


def mixed_lengths(seed: int) -> list[int]:
    """Log-uniform."""
    draw = random.Random(seed)
    return [round(math.exp(draw.uniform(math.log(SHORTEST), math.log(LONGEST)))) for _ in range(SEQUENCES)]


def decode(model: torch.nn.Module, geometry: Geometry, system: tuple[int, ...], requests: list[Request], seed: int) -> PagedDecode:
    """All at once, beside contiguous caches fed the same tokens."""
    longest = len(system) + max(len(request.tokens) + request.new_tokens for request in requests)
    made = PagedDecode(
        model,  # type: ignore[arg-type]
        geometry,
        (system, requests),
        blocks=SEQUENCES * -(-longest // BLOCK),
        block_size=BLOCK,
        at_once=SEQUENCES,
        sampling=Sampling(temperature=0.8),
        seed=seed,
        stops=frozenset(),
        longest=longest,
        compare=True,
        on_step=lambda state: None,
    )
    made.run()
    return made


def layer(model: torch.nn.Module, tokens: list[int], count: int) -> dict[str, float]:
    """The plug-in of one batch against the static cache: four rows of 400 tokens, greedy."""
    prompts = torch.tensor([tokens[row * 500 : row * 500 + 400] for row in range(4)])
    found, seconds = dict[str, Any](), dict[str, float]()
    for name in ("static", "paged", "static", "paged"):
        cache = build_cache(model, name, SchemeSettings(block=BLOCK), 400 + count, 4)  # type: ignore[arg-type]
        began = time.perf_counter()
        found[name] = generate(model, prompts, cache=cache, max_new_tokens=count).tokens
        seconds[name] = min(time.perf_counter() - began, seconds.get(name, math.inf))
    differing = sum(one != other for row, twin in zip(found["paged"], found["static"], strict=True) for one, other in zip(row, twin, strict=True))
    return {"layer_tokens_that_differ": differing, "layer_seconds_static": seconds["static"], "layer_seconds_paged": seconds["paged"]}


def pool_speed(lengths: list[int], count: int) -> dict[str, float]:
    """Microseconds of the pool for a token of one of 32 sequences, hashes included."""
    pool = BlockPool(4096, BLOCK)
    for index, length in enumerate(lengths):
        pool.admit(index, range(length))
    began = time.perf_counter()
    for token in range(count):
        for index in range(SEQUENCES):
            pool.append(index, (token,))
    return {"pool_microseconds_a_token": 1e6 * (time.perf_counter() - began) / (count * SEQUENCES)}


if __name__ == "__main__":
    sys.exit(not main())
