"""Sentences that several tabs say alike. Pure."""

from __future__ import annotations

from core.evaluate.result import Convention
from core.sanitize import clean
from tui.widgets import words


def convention(found: Convention) -> str:
    """An evaluation's convention in one sentence."""
    return ", ".join(
        (
            f"{clean(found.corpus)} (sha256 {clean(found.sha256)[:8]})",
            f"windows of {words.count(found.context)}",
            f"stride {words.count(found.stride)}",
            f"{words.count(found.tokens_scored)} tokens scored",
            f"BOS {clean(found.bos)}",
        )
    )
