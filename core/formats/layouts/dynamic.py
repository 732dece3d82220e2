"""Exceptions by name: `dynamic` of gptqmodel and vLLM, `extra_config` of auto-round."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from core.errors import RequestError
from core.formats.patterns import NamePattern
from core.sanitize import clean

_UNREADABLE = "quantization_config holds exceptions that are not a table of names and settings ({what}): fetch config.json again"


@dataclass(frozen=True)
class Overrides:
    """Settings of some linears that differ from the checkpoint's; the first pattern that matches a name counts."""

    entries: tuple[tuple[NamePattern, tuple[tuple[str, Any], ...]], ...] = ()

    def of(self, linear: str) -> Mapping[str, object]:
        """Fields of `quantization_config` that are different for a linear."""
        exact = (self._literal[linear[:end]] for end in range(len(linear), 0, -1) if linear[:end] in self._literal)
        first = min(exact, default=len(self.entries))
        for place in self._expressions:
            if place < first and self.entries[place][0].matches(linear):
                first = place
        return dict(self.entries[first][1]) if first < len(self.entries) else {}

    @cached_property
    def _literal(self) -> dict[str, int]:
        """Place of each entry that is a plain name, or the beginning of one: found without trying them all."""
        return {pattern.text: place for place, (pattern, _) in reversed(list(enumerate(self.entries))) if pattern.literal}

    @cached_property
    def _expressions(self) -> tuple[int, ...]:
        return tuple(place for place, (pattern, _) in enumerate(self.entries) if not pattern.literal)

    @classmethod
    def from_dynamic(cls, dynamic: Any) -> Overrides:
        """From gptqmodel's `dynamic`: `+:` and no prefix change settings, `-:` leaves linears out (which their tensors tell as well).

        Raises:
            RequestError: it is not such a table.
        """
        return cls._from_table({key.removeprefix("+:"): value for key, value in _table(dynamic).items() if not key.startswith("-:")})

    @classmethod
    def from_extra(cls, extra: Any) -> Overrides:
        """From auto-round's `extra_config`: names or expressions with settings; 16 bits leave a linear out.

        Raises:
            RequestError: it is not such a table.
        """
        return cls._from_table({key: value for key, value in _table(extra).items() if not _left_out(value)})

    @staticmethod
    def leaving_out(names: list[str]) -> dict[str, object]:
        """A `dynamic` that leaves linears in full precision."""
        return {f"-:^{re.escape(name)}$": {} for name in names}

    @classmethod
    def _from_table(cls, table: Mapping[str, object]) -> Overrides:
        entries = []
        for key, changes in table.items():
            if not isinstance(changes, Mapping) or not all(isinstance(name, str) for name in changes):
                raise RequestError(_UNREADABLE.format(what=clean(key, limit=80)))
            plain = tuple((name, value) for name, value in changes.items() if isinstance(value, int | float | str | bool))
            entries.append((NamePattern(key), plain))
        return cls(tuple(entries))


NONE = Overrides()


def _table(value: Any) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise RequestError(_UNREADABLE.format(what=clean(type(value).__name__, limit=40)))
    return value


def _left_out(changes: Any) -> bool:
    bits = changes.get("bits") if isinstance(changes, Mapping) else None
    return isinstance(bits, int) and bits >= 16
