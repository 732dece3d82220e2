"""Checkpoints across projects: ours loaded by the engines they are for, theirs read by us, logits against logits.

Peers are found as `tests.peers.environments` says; a pair whose peer is not configured is listed as not run.
Every pair compares log-probabilities and perplexity on held-out text with our own dequantized model. Words on the command line
choose pairs by peer, name, family, maker or method; what was measured of the others before stays in the result, each with its date.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
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
from core.models.stream.streaming import load_tokenizer
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.benchmarks._silent import SilentContext
from tests.benchmarks.report import RESULTS, record
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
    family: str = ""
    """A random model of this family instead of bundled:base."""

    @property
    def title(self) -> str:
        """Who made what of which model, and who reads it."""
        reader = self.peer if self.made_by == "llmopt" else "llmopt"
        return f"{self.made_by} {self.name}{f' ({self.family})' if self.family else ''} -> {reader}"


OURS = (
    Pair("compressed-tensors W4 g128", "transformers", {"method": "gptq"}),
    Pair("compressed-tensors W4 g128 asymmetric", "transformers", {"method": "rtn", "symmetric": False}),
    Pair("compressed-tensors W3 channel", "transformers", {"method": "gptq", "bits": 3, "granularity": "channel"}),
    Pair("compressed-tensors W8A8", "transformers", {"method": "smoothquant"}),
    Pair("compressed-tensors W8A8 static", "transformers", {"method": "smoothquant", "activation_scales": "static"}),
    Pair("compressed-tensors FP8", "transformers", {"method": "fp8", "activation_bits": 8}),
    Pair("compressed-tensors FP8 static", "transformers", {"method": "fp8", "activation_scales": "static"}),
    Pair("compressed-tensors FP8 weights", "transformers", {"method": "fp8"}),
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
    Pair("GPTQ format", "gptqmodel", {"format": "auto_gptq", "bits": 4, "group_size": 128, "iters": 0}, made_by="autoround"),
    Pair("AWQ format", "gptqmodel", {"format": "auto_awq", "bits": 4, "group_size": 128, "iters": 0}, made_by="autoround"),
    Pair("own format", "autoround", {"format": "auto_round", "bits": 4, "group_size": 128, "iters": 0}, made_by="autoround"),
)


_FAMILY: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 4096,
    "max_position_embeddings": 1024,
}
_OPT: dict[str, Any] = {
    "hidden_size": 256,
    "ffn_dim": 512,
    "word_embed_proj_dim": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 4096,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": _FAMILY,
    "mistral": _FAMILY | {"sliding_window": 64},
    "qwen2": _FAMILY,
    "qwen3": _FAMILY,
    "gemma2": _FAMILY,
    "gemma3_text": _FAMILY,
    "phi3": _FAMILY | {"pad_token_id": 0},
    "opt": _OPT | {"max_position_embeddings": 1024},
}
OF_FAMILIES = tuple(
    Pair(name, peer, settings, dtype, family=family)
    for family in FAMILIES
    for name, peer, settings, dtype in (
        ("compressed-tensors W4 g128", "transformers", {"method": "gptq"}, "float32"),
        ("compressed-tensors FP8", "transformers", {"method": "fp8", "activation_bits": 8}, "float32"),
        ("GPTQ W4 g128", "gptqmodel", {"method": "gptq", "format": "gptq"}, "float32"),
        ("AWQ W4 g128", "gptqmodel", {"method": "awq"}, "float32"),
        ("bitsandbytes NF4", "bitsandbytes", {"method": "nf4"}, "bfloat16"),
        ("compressed-tensors W4 g128", "vllm", {"method": "gptq"}, "bfloat16"),
    )
)


def random_model(family: str, tokenizer: Path, folder: Path) -> Path:
    """A model of the family with random weights large enough to say something, and the bundled tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **FAMILIES[family]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.05 + (1.0 if parameter.ndim == 1 else 0.0))
    model.bfloat16().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, folder)
    return folder


def pairs(chosen: list[str]) -> Iterator[Pair]:
    """All pairs, or those whose peer or name holds one of the words."""
    for pair in (*OURS, *THEIRS, *OF_FAMILIES):
        if not chosen or any(word in (pair.peer, pair.name, pair.family, pair.made_by, pair.settings.get("method")) for word in chosen):
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


def compare(pair: Pair, source: Path, windows: Tensor, calibration: Tensor) -> dict[str, Any]:
    """Make the checkpoint and have both sides read it."""
    with tempfile.TemporaryDirectory() as scratch:
        if pair.family:
            source = random_model(pair.family, source, Path(scratch) / "model")
        folder = checkpoint(pair, source, calibration, Path(scratch))
        theirs = peers.logits(pair.peer, folder, windows, dtype=pair.dtype)
        ours = dequantized_log_probabilities(folder, windows, getattr(torch, pair.dtype))
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
    figures = earlier()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "base"
        shutil.copytree(require_folder(source), folder)
        for pair in pairs(chosen):
            found = outcome(pair, folder, windows, calibration)
            if "not_run" not in found or pair.title not in figures:
                figures[pair.title] = found
            print(pair.title, found, file=sys.stderr, flush=True)
    figures["pairs_run"] = sum("ppl_off" in found for found in figures.values() if isinstance(found, dict))
    figures["pairs_failed"] = [title for title, found in figures.items() if isinstance(found, dict) and "failed" in found]
    worst = [found["ppl_off"] for found in figures.values() if isinstance(found, dict) and "ppl_off" in found]
    figures["largest_ppl_off"] = max(worst, default=None)
    figures["pairs_failed_count"] = len(figures["pairs_failed"])
    return record("cross_loading", figures, {"largest_ppl_off": ("<=", PPL_TOLERANCE), "pairs_failed_count": ("==", 0)})


def outcome(pair: Pair, folder: Path, windows: Tensor, calibration: Tensor) -> dict[str, Any]:
    """What comparing found, or why it could not be done."""
    today = {"date": datetime.now(UTC).isoformat(timespec="minutes")}
    needed = [pair.peer] if pair.made_by == "llmopt" else [pair.made_by, pair.peer]
    if absent := peers.missing(needed):
        return {"not_run": f"{peers.variable(absent[0])} names no Python"}
    try:
        return compare(pair, folder, windows, calibration) | today
    except Exception as error:  # whatever a peer or a reader does, the other pairs still run
        return {"failed": str(error)[-600:]} | today


def earlier() -> dict[str, Any]:
    """Pairs that were measured before."""
    try:
        figures = json.loads((RESULTS / "cross_loading.json").read_text())["figures"]
    except (OSError, ValueError, KeyError):
        return {}
    known = {pair.title for pair in pairs([])}
    return {title: found for title, found in figures.items() if title in known}


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
