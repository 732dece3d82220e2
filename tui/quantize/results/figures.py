"""An outcome as lines: what it lost, what it saved, how that was measured."""

from __future__ import annotations

import math

from core.sanitize import clean
from tui.experiment.sentences import convention
from tui.quantize.results.outcome import Outcome
from tui.widgets import words


def lines(outcome: Outcome) -> list[tuple[str, str]]:
    """(name, text) of every figure of a result."""
    rows = [("perplexity", _perplexity(outcome)), ("KL divergence", _divergence(outcome)), ("top-1 agreement", _agreement(outcome))]
    if outcome.result.evaluation is None:
        rows = [("quality", "not measured: eval tokens was 0")]
    before, after = words.size(outcome.metrics.bytes_before), words.size(outcome.metrics.bytes_after)
    return [
        *rows,
        ("size", f"{before} to {after}{_ratio(outcome)}, {words.figure(outcome.metrics.bits_per_weight, 3)} bits per weight"),
        ("cost", f"{words.duration(outcome.metrics.seconds)}, peak memory {words.size(outcome.metrics.peak_rss_bytes)}{_estimated(outcome)}"),
        *([("predicted", _predicted(outcome.result.mixed.predicted_kl))] if outcome.result.mixed is not None else []),
        *([("measured on", convention(outcome.result.evaluation))] if outcome.result.evaluation is not None else []),
        ("checkpoint", clean(outcome.result.out) or "none"),
        *(("note", clean(note)) for note in outcome.result.notes),
    ]


def _perplexity(outcome: Outcome) -> str:
    before, after = outcome.metrics.ppl_before, outcome.metrics.ppl_after
    ratio = words.figure(outcome.metrics.ppl_ratio)
    error = outcome.metrics.ln_ppl_ratio_se
    relative = outcome.metrics.ppl_ratio
    spread = None if error is None or relative is None else relative * error
    return f"{words.figure(before)} to {words.figure(after)}, ratio {words.plus_minus(ratio, spread)}"


def _divergence(outcome: Outcome) -> str:
    return words.plus_minus(words.figure(outcome.metrics.kl_mean), outcome.metrics.kl_se) + " nats per token from the original"


def _predicted(kl: float) -> str:
    return f"KL {words.figure(kl, 3)} nats per token on calibration text, summed over the linears taken one at a time"


def _agreement(outcome: Outcome) -> str:
    share, error = outcome.metrics.top1_agreement, outcome.metrics.top1_se
    spread = f" ± {words.percent(error)}" if error is not None else ""
    return f"{words.percent(share)}{spread} of tokens keep the most likely next token"


def _estimated(outcome: Outcome) -> str:
    return "" if outcome.estimated_memory is None else f" ({words.size(outcome.estimated_memory)} estimated)"


def _ratio(outcome: Outcome) -> str:
    before, after = outcome.metrics.bytes_before, outcome.metrics.bytes_after
    return f" ({before / after:.2f} times smaller)" if before and after and math.isfinite(before / after) else ""
