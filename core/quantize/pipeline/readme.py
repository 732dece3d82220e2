"""The README of a quantized checkpoint: what was done to it and what was measured."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from core.evaluate.stated import evaluated_on
from core.formats.writing.readme import plain
from core.quantize.methods import METHODS
from core.quantize.result import MixedFigures, QuantizeResult

_LOADS = {
    "compressed-tensors": "loads in vLLM, and in transformers with the package compressed-tensors",
    "gptq": "loads in vLLM, and in transformers with the package gptqmodel",
    "awq": "loads in vLLM, and in transformers with the package gptqmodel",
    "bitsandbytes": "loads in transformers with the package bitsandbytes",
    "aqlm": "loads in transformers with the packages aqlm and accelerate (on a CPU in float32, with NUMBA_NUM_THREADS=1)",
    "gguf": "loads in llama.cpp, Ollama and tools built on them",
}


_KEPT = "Embeddings, norms and the head are unchanged unless a note below says otherwise."
_MOVED = (
    "Embeddings and the head are unchanged; norms, and biases where there are any, took the inverse of the scales by which the columns of the "
    "linears were multiplied, so they fit these linears only."
)


def readme(result: QuantizeResult) -> str:
    """The text, in Markdown."""
    method = METHODS[result.method]
    kept = _MOVED if method.moves_scales else method.untouched or _KEPT
    lines = [
        f"# {plain(Path(result.out).name)}",
        "",
        f"{plain(result.model)} with the linears of its decoder blocks quantized: {plain(result.description)}. {kept}",
        "",
        *([_widths(result.mixed), ""] if result.mixed is not None else []),
        f"Stored as {result.format} (`{result.scheme}`): {_LOADS[result.format]}.",
        "",
        f"Calibrated on {plain(result.calibration)}." if result.calibration else "No calibration data was used.",
        "",
        "| measured | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in _figures(result)),
        "",
    ]
    if result.evaluation is not None:
        lines += [evaluated_on(result.evaluation), ""]
    lines += [f"- {plain(note)}" for note in result.notes]
    return "\n".join([*lines, *([""] if result.notes else []), f"Made with llmopt {result.llmopt_version}.", ""])


def _widths(mixed: MixedFigures) -> str:
    """How many linears got which width, and what that was predicted to cost."""
    counts = sorted(Counter(mixed.widths.values()).items())
    chosen = ", ".join(f"{count} linears at {bits} bits" for bits, count in counts)
    proven = "no other choice of these widths has a smaller sum" if mixed.exact else "a slightly better choice may exist"
    return (
        f"Widths: {chosen}. Rounded alone, each linear's divergence was measured on calibration text; those of the chosen widths sum to "
        f"{mixed.predicted_kl:.5f} nats per token, and {proven} within the limit."
    )


def _figures(result: QuantizeResult) -> list[tuple[str, str]]:
    metrics = result.metrics
    rows = [
        ("bytes of the weight files, before and after", f"{metrics.bytes_before:,} and {metrics.bytes_after:,}"),
        ("bits per weight, in total", f"{metrics.bits_per_weight:.3f}"),
        ("bits per quantized weight, with scales", f"{metrics.bits_per_quantized_weight:.3f}"),
        (f"mean relative error of a linear's {result.error_of}", f"{metrics.layer_error_mean:.4f}"),
    ]
    if metrics.ppl_before is not None and metrics.ppl_after is not None and metrics.kl_mean is not None and metrics.kl_se is not None:
        rows += [
            ("perplexity before and after", f"{metrics.ppl_before:.4f} and {metrics.ppl_after:.4f} (ratio {metrics.ppl_ratio:.4f})"),
            ("KL divergence from the original, nats per token", f"{metrics.kl_mean:.5f} ± {metrics.kl_se:.5f}"),
            ("most likely token agrees", f"{100 * (metrics.top1_agreement or 0):.2f} % ± {100 * (metrics.top1_se or 0):.2f} %"),
        ]
    return rows
