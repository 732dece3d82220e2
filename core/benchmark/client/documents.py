"""JSON as servers send it, which they may fill with anything."""

from __future__ import annotations

import json
from typing import Any

_DIGITS = 18


def read_json(text: str | bytes) -> Any:
    """The document of a text; a whole number beyond 64 bits is a float, infinite where need be, as arithmetic with it would fail.

    Raises:
        ValueError: it is not JSON, or not UTF-8.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_int=_whole)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS else float(digits)
