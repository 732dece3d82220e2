"""The commands whose options are a spec."""

from __future__ import annotations

from typing import Any

from core.runs.registry import spec_class
from tui.cli.experiment import experiment
from tui.cli.options import from_spec

_EXPLANATIONS = {
    "verify": "Look at every tensor of a checkpoint, name its scheme, and measure its perplexity; exit code 3 when a check falls short.",
    "evaluate": "Measure perplexity, and with --reference the divergence from that model.",
    "quantize": "Quantize the linears of a model, measure what it cost, write a checkpoint.",
    "quantize-compare": "Quantize one model in several ways and compare size, error and perplexity.",
    "speculate": "Decode the same prompts with and without speculation, in turns: acceptance, costs, speed-up measured and predicted.",
    "speculate-test": "Test that speculation changes nothing: samples against the target's own law, greedy texts one by one; exit code 3 when not.",
    "kv-cache": "Measure KV-cache schemes on the same model and text: bytes, speed, perplexity through the cache, retrieval.",
    "kv-cache-why": "Measure what a KV cache saves: time of a token with it and without, keys and values computed, growth with the length.",
    "benchmark-machine": "Measure matrix products and memory of this machine, and say what bounds the products of a model.",
    "kv-cache-pages": "Watch the pages of a KV cache in a decode of several sequences, or in a simulated scheduler.",
}


def __getattr__(name: str) -> Any:
    key = name.replace("_", "-")
    if key not in _EXPLANATIONS:
        raise AttributeError(name)
    return from_spec(lambda model, **given: experiment(key, model, given), spec_class(key), _EXPLANATIONS[key])
