"""The usual methods on one model, side by side."""

from __future__ import annotations

from textual.containers import Vertical


class ComparisonView(Vertical):
    """Table and charts."""

    def load(self, model_name: str, chosen: str | None = None) -> None:
        """Read."""

    def next_chart(self) -> None:
        """Next."""
