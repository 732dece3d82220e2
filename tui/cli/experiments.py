"""The commands whose options are a spec."""

from __future__ import annotations

from typing import Any

from core.runs.registry import spec_class
from tui.cli.experiment import experiment
from tui.cli.options import from_spec

_EXPLANATIONS = {
    "verify": "Check every tensor of a checkpoint, identify its scheme, and measure its perplexity; exit code 3 if a check fails.",
    "evaluate": "Measure perplexity and, with --reference, the divergence from that model.",
    "quantize": "Quantize the linears of a model, measure the quality loss, write a checkpoint.",
    "quantize-compare": "Quantize one model in several ways and compare size, error and perplexity.",
    "prune": "Remove weights, channels, heads or blocks of a model, measure the quality loss and the speed, write a checkpoint.",
    "prune-compare": "Prune one model in several ways and compare size, perplexity, divergence and speed; no checkpoint is kept.",
    "distill": "Train a student to predict what MODEL, its teacher, predicts; measure the gain, write a checkpoint.",
    "distill-compare": "Train one student in several ways on the same text, with MODEL as the teacher, and compare; no checkpoint is kept.",
    "distill-data": "Have the teacher behind MODEL, the URL of a server, answer prompts; filter the answers, write a training file for distill.",
    "speculate": "Decode the same prompts with and without speculation, alternating: acceptance, costs, measured and predicted speed-up.",
    "speculate-test": "Test that speculation is lossless: samples against the target's distribution, greedy texts one by one; exit code 3 if not.",
    "kv-cache": "Measure KV-cache schemes on the same model and text: bytes, speed, perplexity through the cache, retrieval.",
    "kv-cache-why": "Measure what a KV cache saves: time per token with and without it, keys and values computed, growth with length.",
    "benchmark-machine": "Measure this machine's matrix products and memory, and report what bounds a model's products.",
    "kv-cache-pages": "Show the pages of a KV cache in a decode of several sequences, or in a simulated scheduler.",
}


def __getattr__(name: str) -> Any:
    key = name.replace("_", "-")
    if key not in _EXPLANATIONS:
        raise AttributeError(name)
    return from_spec(lambda model, **given: experiment(key, model, given), spec_class(key), _EXPLANATIONS[key])
