"""Text as a sequence of units that n-grams are made of: words, and single characters in Chinese and Japanese."""

from __future__ import annotations

import re
import unicodedata

CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff\U00020000-\U0003134f"
"""Character ranges of Han and kana, which are written without spaces."""
_UNIT = re.compile(rf"[{CJK}]|[^\W{CJK}]+")


def units(text: str) -> list[str]:
    """Words and characters in lower case and compatibility form; punctuation is left out."""
    return _UNIT.findall(unicodedata.normalize("NFKC", text).casefold())
