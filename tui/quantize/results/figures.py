"""An outcome as lines: what it cost, what it saved, how that was measured."""

from __future__ import annotations

import math

from core.sanitize import clean
from tui.experiment.told import convention
from tui.quantize.results.outcome import Outcome
from tui.widgets import words


def lines(outcome: Outcome) -> list[tuple[str, str]]:
    """(name, text) of every figure of a result."""
    rows = [("perplexity", _perplexity(outcome)), ("KL divergence", _divergence(outcome)), ("top-1 agreement", _agreement(outcome))]
    if not outcome.evaluation:
        rows = [("quality", "not measured: eval tokens was 0")]
    before, after = words.size(outcome.number("bytes_before")), words.size(outcome.number("bytes_after"))
    return [
        *rows,
        ("size", f"{before} to {after}{_ratio(outcome)}, {words.figure(outcome.number('bits_per_weight'), 3)} bits a weight"),
        ("cost", f"{words.duration(outcome.number('seconds'))}, peak memory {words.size(outcome.number('peak_rss_bytes'))}{_estimated(outcome)}"),
        *([("predicted", _predicted(outcome.predicted_kl))] if outcome.predicted_kl is not None else []),
        *([("measured on", convention(outcome.evaluation))] if outcome.evaluation else []),
        ("checkpoint", clean(outcome.checkpoint) or "none"),
        *(("note", note) for note in outcome.notes),
    ]


def _perplexity(outcome: Outcome) -> str:
    before, after = outcome.number("ppl_before"), outcome.number("ppl_after")
    ratio = words.figure(outcome.number("ppl_ratio"))
    error = outcome.number("ln_ppl_ratio_se")
    relative = outcome.number("ppl_ratio")
    spread = None if error is None or relative is None else relative * error
    return f"{words.figure(before)} to {words.figure(after)}, ratio {words.plus_minus(ratio, spread)}"


def _divergence(outcome: Outcome) -> str:
    return words.plus_minus(words.figure(outcome.number("kl_mean")), outcome.number("kl_se")) + " nats a token from the original"


def _predicted(kl: float) -> str:
    return f"KL {words.figure(kl, 3)} nats a token on calibration text, the sum of what the linears cost alone"


def _agreement(outcome: Outcome) -> str:
    share, error = outcome.number("top1_agreement"), outcome.number("top1_se")
    spread = f" ± {words.percent(error)}" if error is not None else ""
    return f"{words.percent(share)}{spread} of tokens keep the most likely next token"


def _estimated(outcome: Outcome) -> str:
    return "" if outcome.estimated_memory is None else f" ({words.size(outcome.estimated_memory)} were estimated)"


def _ratio(outcome: Outcome) -> str:
    before, after = outcome.number("bytes_before"), outcome.number("bytes_after")
    return f" ({before / after:.2f} times smaller)" if before and after and math.isfinite(before / after) else ""
