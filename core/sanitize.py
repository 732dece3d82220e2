"""Text from models, files and servers is hostile until it has passed here."""

from __future__ import annotations

import unicodedata

_SECRETS: set[str] = set()
_SHORTEST_SECRET = 4
HIDDEN = "[key]"
"""Stands where a secret would."""

_BIDI = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def conceal(secret: str) -> None:
    """From now on this process shows `HIDDEN` for a secret wherever text is made safe: servers repeat in their errors what they were given."""
    if len(secret) >= _SHORTEST_SECRET:
        _SECRETS.add(secret)


def clean(text: str, *, limit: int | None = None, multiline: bool = False) -> str:
    """Replace what could disturb a terminal: control characters, escape sequences, bidirectional overrides, lone surrogates; hide secrets.

    Args:
        text: anything that came from outside.
        limit: cut to this many characters, the last of them an ellipsis.
        multiline: keep line feeds and tabs; otherwise they become spaces.
    """
    for secret in _SECRETS:
        text = text.replace(secret, HIDDEN)
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
