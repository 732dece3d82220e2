"""Text from models, files and servers is hostile until it has passed here."""

from __future__ import annotations

import unicodedata

_BIDI = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str, *, limit: int | None = None, multiline: bool = False) -> str:
    """Replace what could disturb a terminal: control characters, escape sequences, bidirectional overrides, lone surrogates.

    Args:
        text: anything that came from outside.
        limit: cut to this many characters, the last of them an ellipsis.
        multiline: keep line feeds and tabs; otherwise they become spaces.
    """
    cleaned = "".join(_plain(character, multiline) for character in text)
    if limit is not None and len(cleaned) > limit:
        return cleaned[: max(limit - 1, 0)] + "…"
    return cleaned


def _plain(character: str, multiline: bool) -> str:
    if character in "\n\t":
        return character if multiline else " "
    if character in _BIDI or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
        return "\N{REPLACEMENT CHARACTER}"
    return character
