"""An outcome as lines: gain, size, cost, and how the gain was measured. Pure."""

from __future__ import annotations

from core.sanitize import clean
from tui.distill.results.outcome import Outcome
from tui.experiment.sentences import convention
from tui.widgets import words
from tui.widgets.card_facts import millions


def lines(outcome: Outcome) -> list[tuple[str, str]]:
    """(name, text) of every figure of a result."""
    result, metrics = outcome.result, outcome.metrics
    best = f"best step {words.count(metrics.best_step)} of {words.count(metrics.steps)}"
    return [
        *_quality(outcome),
        ("size", f"{_size(outcome)}, {words.percent(metrics.parameters_ratio, 1)} of the parameters"),
        (
            "learned",
            f"{words.count(metrics.tokens)} tokens of {clean(result.train_text)}, {words.figure(metrics.train_tokens_per_second)} tokens/s, {best}",
        ),
        ("cost", f"{words.duration(metrics.seconds)}, peak {words.size(metrics.peak_rss_bytes)}"),
        *([("measured on", convention(result.evaluation))] if result.evaluation is not None else []),
        ("checkpoint", clean(result.out) or "none"),
        *(("note", clean(note)) for note in result.notes),
    ]


def _quality(outcome: Outcome) -> list[tuple[str, str]]:
    metrics = outcome.metrics
    if outcome.result.evaluation is None:
        return [("quality", "not measured: eval tokens was 0")]
    kl = f"{words.figure(metrics.kl_untrained)} to {words.plus_minus(words.figure(metrics.kl_mean), metrics.kl_se)} nats"
    top1 = f"{words.percent(metrics.top1_untrained, 1)} to {words.percent(metrics.top1_agreement, 1)}"
    return [
        ("perplexity", f"{words.figure(metrics.ppl_untrained)} to {words.figure(metrics.ppl_after)}, teacher {words.figure(metrics.ppl_teacher)}"),
        ("divergence", f"KL {kl}, top-1 {top1}"),
    ]


def _size(outcome: Outcome) -> str:
    metrics = outcome.metrics
    parameters = f"{millions(metrics.parameters_teacher)} to {millions(metrics.parameters_after)}"
    return f"{words.size(metrics.bytes_teacher)} to {words.size(metrics.bytes_after)}, {parameters}"
