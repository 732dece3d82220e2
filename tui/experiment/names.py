"""Names as a title shows them."""

from __future__ import annotations

from pathlib import PurePath

from core.sanitize import clean
from core.spec import Values

SETUP, LIVE = "Setup", "Live"
"""The views that every tab of an experiment has."""


def model(values: Values, field: str = "model") -> str:
    """The model of a spec's values: last part of a path, or the name as it is."""
    name = str(values.get(field) or "")
    return clean(PurePath(name).name if name.startswith(("/", "./", "../", "~")) else name, limit=60)
