"""How an evaluation was made, as a checkpoint's README states it."""

from __future__ import annotations

from core.evaluate.result import Convention
from core.formats.writing.readme import plain


def evaluated_on(convention: Convention) -> str:
    """Sentences in Markdown: the text, its windows, the arithmetic, and that other conventions give other figures."""
    return (
        f"Evaluated on {plain(convention.corpus)} (SHA-256 {convention.sha256}): {convention.windows} windows of {convention.context} tokens, "
        f"stride {convention.stride}, {convention.tokens_scored} tokens scored, arithmetic in {convention.dtype}. "
        "Perplexities under other conventions cannot be compared with these."
    )
