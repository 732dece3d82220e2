"""What a form knows about its fields in addition to what a user has filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.spec import Values


@dataclass(frozen=True)
class Guidance:
    """Where a spec's own defaults and choices do not say everything."""

    defaults: Values = field(default_factory=dict)
    """Values of fields that nobody has filled in, where they differ from the spec's defaults."""
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Choices that are left of a field's."""
    hidden: frozenset[str] = frozenset()
    """Fields that mean nothing now, in addition to those whose `applies` says so."""
    help: Mapping[str, str] = field(default_factory=dict)
    """Explanations in place of the spec's descriptions."""


Guide = Callable[[Values], Guidance]
"""From what was filled in to what that means for all fields."""


def no_guide(_given: Values) -> Guidance:
    """The spec says everything."""
    return Guidance()
