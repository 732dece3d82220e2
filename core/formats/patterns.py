"""Regular expressions out of a checkpoint's config.json, matched only when they cannot take forever.

Python's matcher backtracks: an expression with repeats inside repeats takes time exponential in the length of a name, and one
with many repeats in a row a high power of it. Expressions of real checkpoints have neither.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from core.errors import RequestError
from core.sanitize import clean

_LONGEST_PATTERN = 4000
_LONGEST_NAME = 400
_MOST_REPEATS = 4
_LONG = 10
_LITERAL = re.compile(r"[\w.\-]+")
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


class NamePattern:
    """Names of linears that a config means."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.literal = _LITERAL.fullmatch(text) is not None
        """Whether it is a plain name, whose dots are meant as dots."""
        self._compiled = None if self.literal else _compile(text)

    def matches(self, name: str) -> bool:
        """Whether the expression matches at the start of a name, or is the name."""
        if self._compiled is None:
            return name.startswith(self.text)
        return name == self.text or (len(name) <= _LONGEST_NAME and self._compiled.match(name) is not None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamePattern) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"NamePattern({self.text!r})"


@lru_cache(maxsize=4096)
def _compile(text: str) -> re.Pattern[str]:
    shown = clean(text, limit=80)
    if len(text) > _LONGEST_PATTERN:
        raise RequestError(f"quantization_config holds an expression of {len(text):,} characters ({shown}): shorten it, {_LONGEST_PATTERN} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            repeats = _repeats(re._parser.parse(text), inside=False)  # type: ignore[attr-defined]
            compiled = re.compile(text)
    except (re.error, OverflowError, RecursionError, ValueError) as error:
        raise RequestError(f"quantization_config holds {shown!r}, which is not a regular expression: correct it in config.json") from error
    if repeats > _MOST_REPEATS:
        raise RequestError(f"quantization_config holds the expression {shown!r}, which could take forever to match: write the names out instead")
    return compiled


def _repeats(parsed: Iterable[tuple[Any, Any]], *, inside: bool) -> int:
    """How many long repeats an expression has one after the other; too many when one is inside another, or repeats a choice."""
    found = 0
    for operation, argument in parsed:
        name = str(operation)
        if name in _REPEATS:
            low, high, body = argument
            long = high > _LONG
            found += _MOST_REPEATS + 1 if long and inside else int(long)
            found += _repeats(body, inside=inside or long) if isinstance(low, int) else 0
        elif name == "BRANCH":
            found += _MOST_REPEATS + 1 if inside else max(_repeats(choice, inside=inside) for choice in argument[1])
        elif name in ("SUBPATTERN", "ATOMIC_GROUP", "ASSERT", "ASSERT_NOT", "GROUPREF_EXISTS"):
            parts = [argument] if name == "ATOMIC_GROUP" else [part for part in argument if hasattr(part, "data")]
            found += sum(_repeats(part, inside=inside) for part in parts)
        elif name == "GROUPREF":
            found += _MOST_REPEATS + 1 if inside else 1
    return found
