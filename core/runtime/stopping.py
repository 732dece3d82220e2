"""Text of tokens as they arrive, and the strings that end it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_INCOMPLETE = "\ufffd"


class TextStream:
    """Text that grows token by token.

    A character whose bytes are not complete is held back, and so is what may be the beginning of a stop string, wherever tokens end.

    Args:
        tokenizer: decodes.
        stops: strings that end the text; the first that occurs, and all behind it, is not part of the text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stops = [stop for stop in stops if stop]
        self._tokens: list[int] = []
        self._prefix = self._read = 0
        self._held = ""
        self.text = ""
        """What was given out."""
        self.stopped = False
        """Whether a stop string has occurred."""

    def add(self, token: int) -> str:
        """Take a token; the text that is certain now and was not before."""
        if self.stopped:
            return ""
        self._tokens.append(token)
        known = self._decode(self._prefix, self._read)
        whole = self._decode(self._prefix, len(self._tokens))
        if len(whole) <= len(known) or whole.endswith(_INCOMPLETE):
            return ""
        self._prefix, self._read = self._read, len(self._tokens)
        return self._release(self._held + whole[len(known) :], last=False)

    def finish(self) -> str:
        """No more tokens: the text that was held back, bytes of an incomplete character replaced."""
        if self.stopped:
            return ""
        known, whole = self._decode(self._prefix, self._read), self._decode(self._prefix, len(self._tokens))
        self._prefix = self._read = len(self._tokens)
        return self._release(self._held + whole[len(known) :], last=True)

    def _release(self, text: str, *, last: bool) -> str:
        found = min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=-1)
        self.stopped = found >= 0
        keep = 0 if self.stopped or last else self._beginning(text)
        given = text[:found] if self.stopped else text[: len(text) - keep]
        self._held = "" if self.stopped else text[len(text) - keep :]
        self.text += given
        return given

    def _beginning(self, text: str) -> int:
        """Length of the longest end of `text` that a stop string begins with."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        return next((size for size in range(min(longest, len(text)), 0, -1) if any(stop.startswith(text[-size:]) for stop in self._stops)), 0)

    def _decode(self, first: int, last: int) -> str:
        return str(self._tokenizer.decode(self._tokens[first:last], skip_special_tokens=False, clean_up_tokenization_spaces=False))
