"""Names as a title shows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from core.sanitize import clean

SETUP, LIVE = "Setup", "Live"
"""The views that every tab of an experiment has."""


def model(values: Mapping[str, Any], field: str = "model") -> str:
    """The model of a spec's values: last part of a path, or the name as it is."""
    name = str(values.get(field) or "")
    return clean(PurePath(name).name if name.startswith(("/", "./", "../", "~")) else name, limit=60)
