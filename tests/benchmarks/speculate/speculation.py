"""What speculation brings on this machine: bundled:draft for bundled:base on held-out code, and prompt lookup on an editing task.

Greedy, batch 1. float32 on one thread is what `llmopt speculate` takes for models as small as these; two threads, and bfloat16 on two,
stand beside it: on two threads plain decoding itself is twice as fast, as the weights then fit the caches of two cores, and verifying is not.
Plain decoding is this project's own fused loop, so that a speed-up is over the fastest plain decoding there is here; plain and speculative
passes take turns in one process. transformers' assisted generation gets the same pair, prompts, dtype, threads and number of new tokens,
with as many drafted tokens as are best here and with its own schedule; the faster of the two counts. That comparison is end to end, the
prompts' forwards included. The editing task: a piece of a file, then the same piece begun anew with one name changed; the model goes on.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from core.formats.opening import tokenizer_of
from core.models.load import load_model
from core.models.resolve import resolve
from core.runtime.opening import open_decoder
from core.runtime.sampling import Sampling
from core.speculate.bench.prompts import prompts_of
from core.speculate.drafters.model import ModelDrafter
from core.speculate.result import SpeculateResult
from core.speculate.run import run
from core.speculate.spec import SpeculateSpec
from tests.benchmarks.report import Bar, record
from tests.core.conftest import RecordingContext
from tests.core.speculate.whole import speculate

GAMMAS = (2, 4, 6, 8, 10, 12)
BARS: dict[str, Bar] = {
    "draft_model_speedup": (">=", 1.3),
    "draft_model_two_threads_bfloat16_speedup": (">=", 1.3),
    "draft_model_identical": ("==", True),
    "times_assisted_generation": (">=", 1.1),
    "prompt_lookup_speedup": (">=", 1.5),
    "prompt_lookup_identical": ("==", True),
    "largest_prediction_error": ("<=", 0.15),
}


def measured(arguments: argparse.Namespace, **values: Any) -> SpeculateResult:
    """One run of the capability itself."""
    asked = {name: getattr(arguments, name) for name in ("prompts", "repeats", "threads", "tokens")}
    spec = SpeculateSpec.model_validate({"model": "bundled:base"} | asked | values)
    with tempfile.TemporaryDirectory() as folder:
        return run(spec, RecordingContext(Path(folder)))


def figures_of(name: str, result: SpeculateResult) -> dict[str, Any]:
    """The best row with what it is made of, and how near each row's prediction is."""
    best = max(result.rows, key=lambda row: row.speedup)
    told = ("speedup", "predicted_speedup", "gamma", "alpha", "cost_ratio", "verification_ratio", "tokens_per_round", "tokens_per_second")
    found = {f"{name}_{figure}": getattr(best, figure) for figure in (*told, "baseline_tokens_per_second", "drafted_share")}
    found[f"{name}_identical"] = result.identical
    for row in result.rows:
        found[f"{name}_gamma_{row.gamma}_speedup"] = row.speedup
        found[f"{name}_gamma_{row.gamma}_predicted"] = row.predicted_speedup
    return found


def _opened(name: str) -> Any:
    return load_model(resolve(name), torch.float32)


def against_assisted(arguments: argparse.Namespace, gamma: int) -> dict[str, float | bool]:
    """Tokens a second of this loop and of transformers' assisted generation, best of the repeats, in turns."""
    source = resolve("bundled:base")
    ours, drafts = (_opened(name) for name in ("bundled:base", "bundled:draft"))
    theirs, assistant = (_opened(name) for name in ("bundled:base", "bundled:draft"))
    prompts = prompts_of(
        tokenizer_of(source), source="builtin", own=None, task="continue", count=arguments.prompts, length=128, spacing=arguments.tokens
    ).tokens
    slots = 128 + arguments.tokens
    decoder, drafter = open_decoder(ours, slots), ModelDrafter(open_decoder(drafts, slots), Sampling())
    for model in (theirs, assistant):
        model.generation_config.eos_token_id = None
    options = {"do_sample": False, "max_new_tokens": arguments.tokens, "assistant_model": assistant}

    def assisted(schedule: str) -> Callable[[torch.Tensor], Any]:
        assistant.generation_config.num_assistant_tokens = gamma
        assistant.generation_config.num_assistant_tokens_schedule = schedule
        return lambda prompt: theirs.generate(prompt, attention_mask=torch.ones_like(prompt), **options)

    ways: dict[str, Callable[[torch.Tensor], Any]] = {
        "ours": lambda prompt: speculate(decoder, drafter, prompt, gamma=gamma, max_new_tokens=arguments.tokens),
        "assisted_constant": lambda prompt: assisted("constant")(prompt),
        "assisted_heuristic": lambda prompt: assisted("heuristic")(prompt),
    }
    best = dict.fromkeys(ways, float("inf"))
    texts = [
        ways["ours"](prompts[:1]).tokens[0],
        *(ways[name](prompts[:1])[0, 128:].tolist() for name in ("assisted_constant", "assisted_heuristic")),
    ]
    for _ in range(arguments.repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            for prompt in prompts:
                way(prompt[None])
            best[name] = min(best[name], time.perf_counter() - began)
    rates: dict[str, float | bool] = {f"{name}_tokens_per_second": len(prompts) * arguments.tokens / seconds for name, seconds in best.items()}
    rates["assisted_texts_identical"] = all(text == texts[0] for text in texts)
    return rates | {"times_assisted_generation": min(best["assisted_constant"], best["assisted_heuristic"]) / best["ours"]}


def main() -> bool:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks speculation", description=__doc__)
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    drafted = measured(arguments, gamma=GAMMAS)
    beside = {
        "draft_model_two_threads": measured(arguments, gamma=GAMMAS, threads=2),
        "draft_model_two_threads_bfloat16": measured(arguments, gamma=GAMMAS, threads=2, dtype="bfloat16"),
    }
    looked_up = measured(arguments, drafter="lookup", task="edit", prompt_tokens=384, gamma=(4, 6, 8, 12))
    figures: dict[str, Any] = {"threads": arguments.threads}
    figures |= figures_of("draft_model", drafted) | figures_of("prompt_lookup", looked_up)
    figures |= against_assisted(arguments, max(drafted.rows, key=lambda row: row.speedup).gamma)
    for name, result in beside.items():
        figures |= figures_of(name, result)
    rows = [row for result in (drafted, looked_up, *beside.values()) for row in result.rows]
    figures["largest_prediction_error"] = max(abs(row.predicted_speedup - row.speedup) / row.speedup for row in rows)
    return record("speculation", figures, BARS)


if __name__ == "__main__":
    sys.exit(not main())
