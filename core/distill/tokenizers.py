"""Whether two models mean the same by a token's number: their tokenizers compared by content, not by size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import RequestError
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PIECES = 1000
_PIECE = 200


def require_same_tokens(teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase, text: str) -> int:
    """The number of words that both know, when their tokenizers cut text alike.

    Args:
        teacher: its tokenizer.
        student: its tokenizer.
        text: of which a thousand pieces are cut by both.

    Raises:
        RequestError: a word has another number, or a piece of text is cut otherwise.
    """
    theirs, ours = teacher.get_vocab(), student.get_vocab()
    shared = theirs.keys() & ours.keys()
    another = next((word for word in sorted(shared) if theirs[word] != ours[word]), None)
    if another is not None or not shared:
        word = clean(repr(another), limit=60)
        what = "they have no word in common" if another is None else f"{word} is number {theirs[another]} and {ours[another]}"
        raise RequestError(f"teacher and student have different tokenizers ({what}): a student learns only from a teacher with its own tokenizer")
    step = max(len(text) // _PIECES, _PIECE)
    for first in range(0, len(text), step):
        piece = text[first : first + _PIECE]
        if teacher(piece, verbose=False)["input_ids"] != student(piece, verbose=False)["input_ids"]:
            raise RequestError(
                f"teacher and student have different tokenizers (they cut {clean(repr(piece[:40]), limit=80)} otherwise): "
                "a student learns only from a teacher with its own tokenizer"
            )
    return max(max(theirs.values()), max(ours.values())) + 1
