"""What cache schemes cost in perplexity on bundled:base: text fed token by token through the cache, beside the full cache in the same run.

KIVI at 4 and 2 bits; keys quantized by token instead of by channel, on the model and on a copy of it with outlier channels whose outputs are
the same; StreamingLLM at four times its window, and at four times the model's context, beside computing its window anew for every token; and
every scheme's bytes beside its formula.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from typing import Any

import torch
from torch import Tensor

from core import text
from core.evaluate.encoding import encode
from core.evaluate.logits.scores import negative_log_likelihood, rows
from core.evaluate.windows import windows_of
from core.kvcache.catalog.catalog import SCHEMES
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.measure.quality import teacher_forced_logits
from core.kvcache.storage.build import build_cache, card_of
from core.models.kv_geometry import Geometry
from core.models.load import load_model, load_tokenizer
from core.models.resolve import resolve
from core.runtime.cache import KvCache
from core.runtime.opening import open_decoder
from tests.benchmarks.report import Bar, record
from tests.core.kvcache.schemes.making import cache_with
from tests.core.kvcache.schemes.outliers import TokenKeysLayer, add_outlier_channels

BARS: dict[str, Bar] = {
    "kivi-4_ppl_ratio": ("<=", 1.01),
    "kivi-2_ppl_ratio": ("<=", 1.05),
    "outlier_keys_by_token_over_by_channel": (">=", 2.0),
    "streaming_over_recomputed_window": ("<=", 1.1),
    "streaming_beyond_context_over_recomputed_window": ("<=", 1.1),
    "schemes_whose_bytes_differ_from_the_formula": ("==", 0),
}
OUTLIER_PAIRS, OUTLIER_FACTOR = (3, 11), 8.0


def through(model: Any, cache: KvCache, windows: Tensor, prompt: int, scored: int | None = None) -> float:
    """Mean negative log-likelihood in nats of the last `scored` tokens, by default of all behind the prompts."""
    decoder = open_decoder(model, windows.shape[1], cache=cache, batch=len(windows))
    losses = [
        negative_log_likelihood(rows(logits), windows[:, prompt + index])
        for index, logits in enumerate(teacher_forced_logits(decoder, windows, prompt))
    ]
    return float(torch.stack(losses[-(scored or len(losses)) :]).mean())


@torch.inference_mode()
def recomputed(model: Any, windows: Tensor, prompt: int, budget: int) -> float:
    """The same with no cache: each token is predicted by a fresh forward over the last `budget` tokens before it."""
    losses = []
    for window in windows:
        pasts = window[:-1].unfold(0, budget, 1)[prompt - budget :]
        logits = torch.cat([model(part, use_cache=False, logits_to_keep=1).logits[:, -1] for part in pasts.split(32)])
        losses.append(negative_log_likelihood(rows(logits), window[prompt:]))
    return float(torch.stack(losses).mean())


def quantized(model: Any, windows: Tensor, prompt: int, figures: dict[str, Any]) -> None:
    """KIVI beside the full cache and beside keys by token, without and with outlier channels."""
    sizes, count = SchemeSettings(), windows.shape[1]
    with_outliers = copy.deepcopy(model)
    add_outlier_channels(with_outliers, pairs=OUTLIER_PAIRS, factor=OUTLIER_FACTOR)
    full = through(model, build_cache(model, "dynamic", sizes, count, len(windows)), windows, prompt)
    figures["full_ppl"] = math.exp(full)
    for name in ("int8", "int4", "fp8-e4m3", "fp8-e5m2", "kivi-4", "kivi-2"):
        figures[f"{name}_ppl_ratio"] = math.exp(through(model, build_cache(model, name, sizes, count, len(windows)), windows, prompt) - full)
    excess = {}
    for title, variant in (("", model), ("outlier_", with_outliers)):
        base = full if variant is model else through(variant, build_cache(variant, "dynamic", sizes, count, len(windows)), windows, prompt)
        figures[f"{title}full_ppl"] = math.exp(base)
        by_channel = through(variant, build_cache(variant, "kivi-2", sizes, count, len(windows)), windows, prompt) - base
        by_token = through(variant, cache_with(variant, TokenKeysLayer, sizes, count), windows, prompt) - base
        figures[f"{title}keys_by_channel_ppl_ratio"], figures[f"{title}keys_by_token_ppl_ratio"] = math.exp(by_channel), math.exp(by_token)
        excess[title] = by_token / by_channel
    figures["keys_by_token_over_by_channel"] = excess[""]
    figures["outlier_keys_by_token_over_by_channel"] = excess["outlier_"]


def streaming(model: Any, windows: Tensor, budget: int, figures: dict[str, Any]) -> None:
    """Texts of four times the budget; what lies beyond the first budget is scored."""
    sizes, count = SchemeSettings(budget=budget), windows.shape[1]
    found = {
        name: through(model, build_cache(model, name, sizes, count, len(windows)), windows, budget)
        for name in ("dynamic", "streaming", "sliding", "h2o")
    }
    again = recomputed(model, windows, budget, budget)
    figures |= {"streaming_budget_tokens": budget, "recomputed_window_ppl": math.exp(again)}
    figures |= {f"beyond_window_{name}_ppl": math.exp(loss) for name, loss in found.items()}
    figures["streaming_over_recomputed_window"] = math.exp(found["streaming"] - again)
    figures["streaming_over_full"] = math.exp(found["streaming"] - found["dynamic"])


def beyond_context(model: Any, windows: Tensor, budget: int, figures: dict[str, Any]) -> None:
    """StreamingLLM at the end of texts of four times the model's context."""
    scored = min(budget, windows.shape[1] - budget)
    cache = build_cache(model, "streaming", SchemeSettings(budget=budget), windows.shape[1], len(windows))
    found = through(model, cache, windows, budget, scored)
    again = recomputed(model, windows[:, -(budget + scored) :], budget, budget)
    figures |= {"beyond_context_tokens": windows.shape[1], "beyond_context_streaming_ppl": math.exp(found)}
    figures["streaming_beyond_context_over_recomputed_window"] = math.exp(found - again)


def formulas(model: Any, windows: Tensor, figures: dict[str, Any]) -> None:
    """Every scheme's bytes after a prompt and some steps."""
    differing = []
    prompt, count = 300, 340
    for name, facts in SCHEMES.items():
        if facts.needs_cuda:
            continue
        cache = build_cache(model, name, SchemeSettings(), count, 1)
        decoder = open_decoder(model, count, cache=cache)
        list(teacher_forced_logits(decoder, windows[:1, : count + 1], prompt))
        sizes = SchemeSettings(capacity=count, prompted=prompt)
        expected = facts.formula(Geometry.of(card_of(model), model.dtype.itemsize), sizes, cache.seen, 1)
        figures[f"{name}_bytes"] = cache.nbytes
        if cache.nbytes != expected:
            differing.append(f"{name}: {cache.nbytes} held, {expected} by the formula")
    figures["schemes_whose_bytes_differ_from_the_formula"] = len(differing)
    for line in differing:
        print(line, flush=True)


def main() -> bool:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks kv_quality", description=__doc__)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--budget", type=int, default=256)
    parser.add_argument("--long-texts", type=int, default=4)
    arguments = parser.parse_args()
    source = resolve("bundled:base")
    model: Any = load_model(source, torch.float32)
    long = 4 * model.config.max_position_embeddings
    tokens = encode(text.load("builtin"), load_tokenizer(source), max(arguments.windows * arguments.context, arguments.long_texts * long)).tokens
    windows = windows_of(tokens, arguments.context).tokens[: arguments.windows]
    figures: dict[str, Any] = {"windows": len(windows), "context": arguments.context, "threads": torch.get_num_threads()}
    quantized(model, windows, 64, figures)
    streaming(model, windows[:, : 4 * arguments.budget], arguments.budget, figures)
    beyond_context(model, tokens[: arguments.long_texts * long].view(-1, long), arguments.budget, figures)
    formulas(model, windows, figures)
    return record("kv_quality", figures, BARS)


if __name__ == "__main__":
    sys.exit(not main())
