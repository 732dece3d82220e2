"""Flags for the version that is installed: what it does not know is left out and said, or refused where the request depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.errors import RequestError


@dataclass
class Arguments:
    """Collects the arguments of a command.

    Args:
        title: of the engine, for sentences.
        known: flags of the installed version; empty: not known, everything is let through.
    """

    title: str
    known: frozenset[str] = frozenset()
    values: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *words: str) -> Arguments:
        """Arguments that every version has."""
        self.values += words
        return self

    def option(self, names: str | Sequence[str], value: object | None, *, needed: bool = False) -> Arguments:
        """A flag and its value, under the first of its names that the version knows; nothing when the value is None or False, no value when True.

        Raises:
            RequestError: no name is known, and the request depends on it.
        """
        if value is None or value is False:
            return self
        asked = (names,) if isinstance(names, str) else tuple(names)
        name = next((each for each in asked if each in self.known), asked[0] if not self.known else None)
        if name is None:
            if needed:
                raise RequestError(f"this version of {self.title} does not support {asked[0]}: omit it, or install another version")
            self.notes.append(f"this version of {self.title} does not support {asked[0]}: ignored")
            return self
        self.values += [name] if value is True else [name, str(value)]
        return self
