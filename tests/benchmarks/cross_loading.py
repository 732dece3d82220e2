"""Checkpoints across projects: ours loaded by the engines they are for, theirs read by us, logits against logits.

Peers are found as `tests.peers.environments` says; a pair whose peer is not configured is listed as not run.
Every pair compares log-probabilities and perplexity on held-out text with our own dequantized model.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core import text
from core.calibration.windows import calibration_windows
from core.evaluate.encoding import encode
from core.evaluate.windows import windows_of
from core.models.resolve import resolve
from core.models.source import require_folder
from core.models.streaming import load_tokenizer
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.benchmarks.gptq_quality import SilentContext
from tests.benchmarks.report import Bar, record
from tests.peers import environments as peers
from tests.peers.ours import dequantized_log_probabilities

CONTEXT, WINDOWS = 256, 8
PPL_TOLERANCE = 0.005


@dataclass(frozen=True)
class Pair:
    """One checkpoint and one engine."""

    name: str
    peer: str
    settings: dict[str, Any]
    """Of our spec, or of the peer that makes the checkpoint."""
    dtype: str = "float32"
    made_by: str = "llmopt"
    model: dict[str, Any] = field(default_factory=dict)


OURS = (
    Pair("compressed-tensors W4 g128", "transformers", {"method": "gptq"}),
    Pair("compressed-tensors W4 g128 asymmetric", "transformers", {"method": "rtn", "symmetric": False}),
    Pair("compressed-tensors W3 channel", "transformers", {"method": "gptq", "bits": 3, "granularity": "channel"}),
    Pair("compressed-tensors W8A8", "transformers", {"method": "smoothquant"}),
    Pair("compressed-tensors W8A8 static", "transformers", {"method": "smoothquant", "activation_scales": "static"}),
    Pair("compressed-tensors FP8", "transformers", {"method": "fp8"}),
    Pair("compressed-tensors FP8 static", "transformers", {"method": "fp8", "activation_scales": "static"}),
    Pair("compressed-tensors mixed", "transformers", {"method": "mixed", "calibration_samples": 16}),
    Pair("GPTQ W4 g128", "gptqmodel", {"method": "gptq", "format": "gptq"}),
    Pair("GPTQ W4 g128 act-order", "gptqmodel", {"method": "gptq", "format": "gptq", "act_order": True, "static_groups": False}),
    Pair("GPTQ W4 g128 asymmetric", "gptqmodel", {"method": "gptq", "format": "gptq", "symmetric": False}),
    Pair("GPTQ W8 g128", "gptqmodel", {"method": "gptq", "format": "gptq", "bits": 8}),
    Pair("AWQ W4 g128", "gptqmodel", {"method": "awq"}),
    Pair("bitsandbytes NF4", "bitsandbytes", {"method": "nf4"}),
    Pair("bitsandbytes NF4 plain scales", "bitsandbytes", {"method": "nf4", "double_quant": False}),
    Pair("bitsandbytes INT8", "bitsandbytes", {"method": "int8"}),
    Pair("compressed-tensors W4 g128", "vllm", {"method": "gptq"}, "bfloat16"),
    Pair("compressed-tensors W8A8", "vllm", {"method": "smoothquant"}, "bfloat16"),
    Pair("GPTQ W4 g128", "vllm", {"method": "gptq", "format": "gptq"}, "bfloat16"),
    Pair("AWQ W4 g128", "vllm", {"method": "awq"}, "bfloat16"),
)
_SCHEME = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 128}
THEIRS = (
    Pair("GPTQ W4A16", "llmcompressor", {"method": "gptq", "scheme": "W4A16"}, made_by="llmcompressor"),
    Pair("RTN W4A16 asymmetric", "llmcompressor", {"method": "rtn", "scheme": "W4A16_ASYM"}, made_by="llmcompressor"),
    Pair("W8A8", "llmcompressor", {"method": "gptq", "scheme": "W8A8"}, made_by="llmcompressor"),
    Pair("FP8", "llmcompressor", {"method": "rtn", "scheme": "FP8"}, made_by="llmcompressor"),
    Pair("FP8 dynamic", "llmcompressor", {"method": "rtn", "scheme": "FP8_DYNAMIC"}, made_by="llmcompressor"),
    Pair("GPTQ W4 g128", "gptqmodel", {"bits": 4, "group_size": 128}, made_by="gptqmodel"),
    Pair("GPTQ W4 g128 desc_act", "gptqmodel", {"bits": 4, "group_size": 128, "desc_act": True}, made_by="gptqmodel"),
    Pair("GPTQ W4 g128 asymmetric", "gptqmodel", {"bits": 4, "group_size": 128, "sym": False}, made_by="gptqmodel"),
    Pair("GPTQ format", "autoround", {"format": "auto_gptq", "bits": 4, "group_size": 128, "iters": 0}, made_by="autoround"),
    Pair("AWQ format", "autoround", {"format": "auto_awq", "bits": 4, "group_size": 128, "iters": 0}, made_by="autoround"),
    Pair("own format", "autoround", {"format": "auto_round", "bits": 4, "group_size": 128, "iters": 0}, made_by="autoround"),
)


def pairs(chosen: list[str]) -> Iterator[Pair]:
    """All pairs, or those whose peer or name holds one of the words."""
    for pair in (*OURS, *THEIRS):
        if not chosen or any(word in (pair.peer, pair.name, pair.settings.get("method")) for word in chosen):
            yield pair


def checkpoint(pair: Pair, model: Path, calibration: Tensor, folder: Path) -> Path:
    """The pair's checkpoint, made now."""
    out = folder / "checkpoint"
    if pair.made_by == "llmopt":
        spec = QuantizeSpec.parse({"model": str(model), "eval_tokens": 0, "calibration_samples": 32, "out": str(out)} | pair.settings)
        assert isinstance(spec, QuantizeSpec)
        run(spec, SilentContext(folder))
    else:
        peers.make(pair.made_by, model, out, calibration, pair.settings)
    return out


def compare(pair: Pair, source: Path, windows: Tensor, calibration: Tensor) -> dict[str, float]:
    """Make the checkpoint and have both sides read it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = checkpoint(pair, source, calibration, Path(scratch))
        theirs = peers.logits("gptqmodel" if pair.peer == "autoround" else pair.peer, folder, windows, dtype=pair.dtype)
        ours = dequantized_log_probabilities(folder, source, windows, getattr(torch, pair.dtype))
    theirs, ours = theirs[:, :-1, : ours.shape[-1]], ours[:, :-1]
    kl = (ours.exp() * (ours - theirs)).sum(-1)
    targets = windows[:, 1:, None]
    ppl = [float(scores.gather(-1, targets).mean().neg().exp()) for scores in (ours, theirs)]
    return {
        "largest_difference": float((ours - theirs).abs().max()),
        "kl_mean": float(kl.mean()),
        "ppl_ours": ppl[0],
        "ppl_theirs": ppl[1],
        "ppl_off": abs(ppl[1] / ppl[0] - 1),
    }


def main(chosen: list[str]) -> bool:
    """Run every pair whose peer is there; print and record."""
    source = resolve("bundled:base")
    tokenizer = load_tokenizer(source)
    windows = windows_of(encode(text.load("builtin"), tokenizer, CONTEXT * WINDOWS).tokens, CONTEXT).tokens[:WINDOWS]
    calibration = calibration_windows(text.load("builtin", split="train"), tokenizer, 32, 256, 0)
    figures: dict[str, Any] = {}
    bars: dict[str, Bar] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "base"
        shutil.copytree(require_folder(source), folder)
        for pair in pairs(chosen):
            key = f"{pair.made_by} {pair.name} -> {pair.peer if pair.made_by == 'llmopt' else 'llmopt'}"
            if peers.missing([pair.peer]):
                figures[key] = f"not run: {peers.variable(pair.peer)} names no Python"
                continue
            try:
                found = compare(pair, folder, windows, calibration)
            except Exception as error:  # whatever a peer or a reader does, the other pairs still run
                figures[key] = f"failed: {error}"[:600]
                bars[f"{key}: ppl_off"] = ("<=", PPL_TOLERANCE)
                print(key, figures[key], file=sys.stderr, flush=True)
                continue
            figures |= {f"{key}: {name}": value for name, value in found.items()}
            bars[f"{key}: ppl_off"] = ("<=", PPL_TOLERANCE)
            print(key, found, file=sys.stderr, flush=True)
    return record("cross_loading" if not chosen else f"cross_loading_{'_'.join(chosen)}", figures, bars)


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
