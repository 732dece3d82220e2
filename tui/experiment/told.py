"""Sentences that several tabs say alike. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.sanitize import clean
from tui.widgets import words


def convention(found: Mapping[str, Any]) -> str:
    """An evaluation's convention in one sentence."""
    parts = [
        f"{clean(str(found.get('corpus', 'unnamed text')))} (sha256 {clean(str(found.get('sha256', '')))[:8]})",
        f"windows of {words.count(found.get('context'))}",
        f"stride {words.count(found.get('stride'))}",
        f"{words.count(found.get('tokens_scored', found.get('tokens')))} tokens scored",
    ]
    if "bos" in found:
        parts.append(f"BOS {clean(str(found['bos']))}")
    return ", ".join(parts)
