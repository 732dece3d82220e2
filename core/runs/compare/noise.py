"""How far a figure may be off, so that chance is not called better or worse."""

from __future__ import annotations

from collections.abc import Mapping

from core.runs.figures import figure

NORMAL_95 = 1.959964
EVALUATED = frozenset(
    {"ppl", "ppl_before", "ppl_after", "ppl_ratio", "ln_ppl_ratio", "nll_mean", "bits_per_byte", "kl_mean", "kl_max", "top1_agreement"}
)
"""What an evaluation measures: comparable under one convention only."""
_OF_LOGARITHM = {"ppl_ratio": "ln_ppl_ratio_se", "ppl_after": "ln_ppl_ratio_se", "bits_per_byte": "nll_se"}
"""Figures whose relative error follows, to first order, from that of their logarithm, or of what they are proportional to."""
_TIMED_ONCE, _SAMPLED_ONCE = 0.10, 0.05
"""Share by which a second measurement of the same differs, where a result states no error: of times and speeds, of memory and samples."""
_SPEEDS = ("per_second", "speedup", "gflops", "tpot", "per_joule", "cost_", "verification_ratio")
_SAMPLED = ("peak_", "host_bytes", "gpu_bytes", "alpha", "accuracy", "needle_", "kl_max", "total_variation", "sensitivity_kl", "tokens_per_round")


def margin(name: str, figures: Mapping[str, float]) -> float:
    """Half the width of the 95 % interval of a result's figure, in its own unit; 0 for what is counted, not measured.

    Args:
        name: of the figure; a dotted name's error has the same prefix.
        figures: of the result.
    """
    value = abs(figures[name])
    owner, dot, last = name.rpartition(".")
    if (error := figures.get(owner + dot + (figure(last).error or "-"))) is not None:
        return NORMAL_95 * error
    if (error := figures.get(owner + dot + _OF_LOGARITHM.get(last, "-"))) is not None:
        of = figures.get("nll_mean", 1.0) if last == "bits_per_byte" else 1.0
        return NORMAL_95 * error * value / (of or 1.0)
    if figure(name).unit in {"second", "s", "ms", "GB/s"} or any(part in last for part in _SPEEDS):
        return _TIMED_ONCE * value
    return _SAMPLED_ONCE * value if any(part in last for part in _SAMPLED) else 0.0
