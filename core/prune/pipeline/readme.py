"""The README of a pruned checkpoint: what was removed and what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.evaluate.stated import evaluated_on
from core.formats.writing.readme import plain
from core.prune.result import PruneResult

_LOADS = "it loads in transformers, in vLLM, and in llama.cpp once converted"
_DENSE = (
    f"A plain Hugging Face checkpoint: {_LOADS}. Zeros are stored like other weights, and config.json has no sparsity_config, which vLLM refuses."
)
_CUT = f"A plain Hugging Face checkpoint with the same width in every block: {_LOADS}."

_HIDES = "Perplexity hides part of the damage that pruning does to reasoning and knowledge: run your own tasks before you deploy."


def readme(result: PruneResult) -> str:
    """The text, in Markdown."""
    metrics = result.metrics
    lines = [
        f"# {plain(Path(result.out).name)}",
        "",
        f"{plain(result.model)}, pruned: {plain(result.description)}",
        "",
        _DENSE if metrics.parameters_after == metrics.parameters_before else _CUT,
        "",
        f"Speed: {plain(result.speed_note)}",
        "",
        f"Calibrated on {plain(result.calibration)}." if result.calibration else "No calibration data was used.",
        "",
        "| measured | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in _figures(result)),
        "",
    ]
    if result.evaluation is not None:
        lines += [f"{evaluated_on(result.evaluation)} {_HIDES}", ""]
    lines += [f"- {plain(note)}" for note in result.notes]
    return "\n".join([*lines, *([""] if result.notes else []), f"Made with llmopt {result.llmopt_version}.", ""])


def _figures(result: PruneResult) -> Iterator[tuple[str, str]]:
    metrics = result.metrics
    yield "parameters, before and after", f"{metrics.parameters_before:,} and {metrics.parameters_after:,}"
    yield "bytes of the weight files, before and after", f"{metrics.bytes_before:,} and {metrics.bytes_after:,}"
    yield "sparsity", f"{100 * metrics.sparsity:.2f} %"
    if metrics.layer_error_mean is not None:
        yield f"mean relative error of a linear's {result.error_of}", f"{metrics.layer_error_mean:.4f}"
    if metrics.ppl_before is not None and metrics.ppl_after is not None and metrics.kl_mean is not None:
        yield "perplexity before and after", f"{metrics.ppl_before:.4f} and {metrics.ppl_after:.4f} (ratio {metrics.ppl_ratio:.4f})"
        yield "KL divergence from the original, nats per token", f"{metrics.kl_mean:.5f} ± {metrics.kl_se or 0:.5f}"
        yield "most likely token agrees", f"{100 * (metrics.top1_agreement or 0):.2f} % ± {100 * (metrics.top1_se or 0):.2f} %"
    if metrics.ppl_unrecovered is not None and metrics.kl_unrecovered is not None:
        yield "before recovery: perplexity, KL divergence", f"{metrics.ppl_unrecovered:.4f}, {metrics.kl_unrecovered:.5f}"
    if metrics.tokens_per_second_before is not None and metrics.tokens_per_second_after is not None:
        yield "decoded tokens per second, before and after", f"{metrics.tokens_per_second_before:.1f} and {metrics.tokens_per_second_after:.1f}"
