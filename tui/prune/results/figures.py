"""An outcome as lines: the quality loss, the size, the measured speed, how that was measured, and what was removed. Pure."""

from __future__ import annotations

from core.sanitize import clean
from tui.experiment.sentences import convention
from tui.prune.results.history import times
from tui.prune.results.outcome import Outcome
from tui.widgets import words
from tui.widgets.card_facts import millions


def lines(outcome: Outcome) -> list[tuple[str, str]]:
    """(name, text) of every figure of a result."""
    result = outcome.result
    return [
        *_quality(outcome),
        ("size", _size(outcome)),
        ("decode", _decode(outcome)),
        ("prefill", _prefill(outcome)),
        *([("speed", clean(result.speed_note))] if result.speed_note else []),
        ("cost", f"{words.duration(outcome.metrics.seconds)}, peak {words.size(outcome.metrics.peak_rss_bytes)}{_estimated(outcome)}"),
        *([("measured on", convention(result.evaluation))] if result.evaluation is not None else []),
        ("checkpoint", clean(result.out) or "none"),
        ("removed", _removed(outcome)),
        *(("note", clean(note)) for note in result.notes),
    ]


def _removed(outcome: Outcome) -> str:
    result = outcome.result
    axes = ", ".join(f"{kept.axis} {kept.before} to {kept.after}" for kept in result.kept)
    lost = list(dict.fromkeys(clean(what) for kept in result.kept for what in kept.lost))
    parts = [clean(result.description).rstrip("."), axes, f"no more {', '.join(lost)}" if lost else ""]
    return "; ".join(filter(None, parts))


def _quality(outcome: Outcome) -> list[tuple[str, str]]:
    metrics = outcome.metrics
    if outcome.result.evaluation is None:
        return [("quality", "not measured: eval tokens was 0")]
    spread = None if metrics.ln_ppl_ratio_se is None or metrics.ppl_ratio is None else metrics.ppl_ratio * metrics.ln_ppl_ratio_se
    ratio = words.plus_minus(words.figure(metrics.ppl_ratio), spread)
    top1 = f"{words.percent(metrics.top1_agreement)}{'' if metrics.top1_se is None else f' ± {words.percent(metrics.top1_se)}'}"
    rows = [
        ("perplexity", f"{words.figure(metrics.ppl_before)} to {words.figure(metrics.ppl_after)}, ratio {ratio}"),
        ("divergence", f"KL {words.plus_minus(words.figure(metrics.kl_mean), metrics.kl_se)} nats, top-1 {top1}"),
    ]
    if metrics.ppl_unrecovered is not None:
        rows.append(
            ("unrecovered", f"perplexity {words.figure(metrics.ppl_unrecovered)}, KL {words.figure(metrics.kl_unrecovered)} nats before the recovery")
        )
    return rows


def _size(outcome: Outcome) -> str:
    metrics = outcome.metrics
    before, after = words.size(metrics.bytes_before), words.size(metrics.bytes_after)
    size = f"{after} as before" if before == after else f"{before} to {after}"
    if not outcome.cuts:
        return f"{size}, {words.percent(metrics.sparsity)} of linear weights zero"
    return f"{size}, {millions(metrics.parameters_before)} to {millions(metrics.parameters_after)} parameters"


def _decode(outcome: Outcome) -> str:
    metrics = outcome.metrics
    condition = "" if outcome.cuts else " with zeros skipped"
    estimate = "" if metrics.speedup_estimate is None else f"; estimate {times(metrics.speedup_estimate)}{condition}"
    kernel = "" if metrics.sparse_kernel_speedup is None else f"; 2:4 kernel {times(metrics.sparse_kernel_speedup)}"
    if metrics.tokens_per_second_after is None:
        return f"not measured{estimate}{kernel}"
    speedup = words.plus_minus(times(metrics.decode_speedup), metrics.decode_speedup_se)
    measured = f"{words.figure(metrics.tokens_per_second_before)} to {words.figure(metrics.tokens_per_second_after)} tokens/s, {speedup}"
    return f"{measured}{estimate}{kernel}"


def _prefill(outcome: Outcome) -> str:
    metrics = outcome.metrics
    if metrics.prefill_seconds_after is None:
        return "not measured"
    before, after = (1000 * seconds if seconds is not None else None for seconds in (metrics.prefill_seconds_before, metrics.prefill_seconds_after))
    speedup = words.plus_minus(times(metrics.prefill_speedup), metrics.prefill_speedup_se)
    return f"{words.figure(before)} to {words.figure(after)} ms, {speedup}"


def _estimated(outcome: Outcome) -> str:
    return "" if outcome.estimated_memory is None else f" ({words.size(outcome.estimated_memory)} estimated)"
