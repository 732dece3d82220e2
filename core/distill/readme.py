"""The README of a distilled checkpoint: who taught whom, how, and what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.distill.result import DistillResult
from core.evaluate.stated import evaluated_on
from core.formats.writing.readme import plain

_LOADS = "A plain Hugging Face checkpoint: it loads in transformers, in vLLM, and in llama.cpp once converted, as the student did before."


def readme(result: DistillResult) -> str:
    """The text, in Markdown."""
    metrics = result.metrics
    lines = [
        f"# {plain(Path(result.out).name)}",
        "",
        f"{plain(result.student)}, distilled from {plain(result.model)}: {plain(result.objective)}, {metrics.steps} steps, "
        f"{metrics.tokens:,} tokens of {plain(result.train_text)}.",
        "",
        _LOADS,
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


def _figures(result: DistillResult) -> Iterator[tuple[str, str]]:
    metrics = result.metrics
    yield "parameters, teacher and student", f"{metrics.parameters_teacher:,} and {metrics.parameters_after:,}"
    yield "bytes of the weight files, teacher and student", f"{metrics.bytes_teacher:,} and {metrics.bytes_after:,}"
    if metrics.ppl_teacher is not None and metrics.ppl_untrained is not None and metrics.ppl_after is not None:
        yield "perplexity: teacher, student before, student after", f"{metrics.ppl_teacher:.4f}, {metrics.ppl_untrained:.4f}, {metrics.ppl_after:.4f}"
    if metrics.kl_mean is not None and metrics.kl_untrained is not None:
        yield "KL divergence from the teacher before and after", f"{metrics.kl_untrained:.5f} and {metrics.kl_mean:.5f} ± {metrics.kl_se or 0:.5f}"
    if metrics.top1_agreement is not None:
        yield "most likely token agrees", f"{100 * metrics.top1_agreement:.2f} % ± {100 * (metrics.top1_se or 0):.2f} %"
    if metrics.gap_closed is not None:
        yield "gap in ln perplexity closed", f"{100 * metrics.gap_closed:.1f} % ± {100 * (metrics.gap_closed_se or 0):.1f} %"
    yield "best step", f"{metrics.best_step} of {metrics.steps}"
