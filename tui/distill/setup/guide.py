"""What the fields of a distillation mean together: which have no effect, and what a loss does. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from core.spec import Values, text_in
from tui.widgets.form.fields.guide import Guidance

OPEN = ("model", "student", "layers", "divergence", "alpha", "temperature", "features", "feature_weight", "steps", "learning_rate")
"""Fields without a fold."""
_DIVERGENCES = {
    "forward-kl": "covers all that the teacher expects; the usual choice",
    "reverse-kl": "keeps to what the teacher is sure of",
    "jensen-shannon": "half of each direction, bounded by ln 2",
    "skew-forward-kl": "forward, with a tenth of the teacher mixed in: finite everywhere",
    "skew-reverse-kl": "reverse, with a tenth of the student mixed in: steadier than reverse",
    "total-variation": "the share of tokens that speculative decoding would reject",
}
_FEATURES = {
    "none": "predictions alone",
    "hidden": "also hidden states after every block, as shares of the teacher's mean square",
    "relations": "also how queries, keys and values of the last block resemble each other, token by token",
}


def guide(given: Values) -> Guidance:
    """What follows from the fields that were given."""
    divergence, features = text_in(given, "divergence", "forward-kl"), text_in(given, "features", "none")
    found = {"divergence": _DIVERGENCES.get(divergence), "features": _FEATURES.get(features)}
    return Guidance(
        hidden=frozenset(_hidden(given)),
        help={
            name: f"{text_in(given, name, first)}: {about}"
            for (name, about), first in zip(found.items(), ("forward-kl", "none"), strict=True)
            if about
        },
    )


def _hidden(given: Values) -> Iterator[str]:
    if given.get("student"):
        yield "layers"
    else:
        yield "hold_zeros"
    kept = text_in(given, "teacher", "resident") != "resident"
    if kept:
        yield from ("divergence", "temperature", "features")
    else:
        yield "kept_words"
    if kept or text_in(given, "features", "none") == "none":
        yield "feature_weight"
    if given.get("alpha") == 0:
        yield from ("divergence", "temperature")
