"""Examples that say the same as an earlier one, but for case, spacing and forms of characters."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

from core.distill.data.filters.example import Example


def first_of_equals(examples: Sequence[Example]) -> list[bool]:
    """Keep the first of those whose prompt and answer are equal after NFKC, case folding and joining of white space."""
    seen: set[bytes] = set()
    stays = []
    for example in examples:
        digest = _digest(example)
        stays.append(digest not in seen)
        seen.add(digest)
    return stays


def _digest(example: Example) -> bytes:
    digest = hashlib.sha256()
    for message in example.conversation:
        plain = " ".join(unicodedata.normalize("NFKC", message.content).casefold().split())
        digest.update(f"{message.role}\0{plain}\0".encode(errors="replace"))
    return digest.digest()
