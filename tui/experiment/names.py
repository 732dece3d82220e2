"""Names as a title shows them."""

from __future__ import annotations

from core.spec import Values, short_name, text_in

SETUP, LIVE = "Setup", "Live"
"""The views that every tab of an experiment has."""


def model(values: Values) -> str:
    """The model of a spec's values: last part of a path, or the name as it is."""
    return short_name(text_in(values, "model"))
