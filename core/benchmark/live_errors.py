"""What went wrong in a load so far, for its live view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from core.sanitize import clean

_KEPT = 8
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class ErrorsEvent:
    """Reasons and how many requests ended for each, the most frequent first; the rest in one number."""

    kind: ClassVar[str] = "errors"
    reasons: tuple[tuple[str, str, int], ...]
    """(`failed` or `timed_out`, reason, requests)."""
    others: int = 0
    """Requests that ended for another reason than these."""
    level: float | None = None
    """Of a sweep."""

    @classmethod
    def of(cls, counts: Counter[tuple[str, str]], level: float | None = None) -> Self:
        """From counts by status and reason."""
        shown = counts.most_common(_KEPT)
        reasons = tuple((status, clean(reason, limit=_LONGEST), count) for (status, reason), count in shown)
        return cls(reasons, counts.total() - sum(count for _, count in shown), level)

    def data(self) -> dict[str, Any]:
        """For `RunContext.detail(ErrorsEvent.kind, ...)`."""
        return {"reasons": [list(reason) for reason in self.reasons], "others": self.others, "level": self.level}

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self | None:
        """The event of a detail's data, its texts safe to show; None for anything else."""
        try:
            reasons = tuple(
                (clean(str(status), limit=20), clean(str(reason), limit=_LONGEST), int(count)) for status, reason, count in data["reasons"]
            )
            level = data.get("level")
            return cls(reasons, int(data["others"]), None if level is None else float(level))
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
