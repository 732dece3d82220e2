"""What a GGUF file says about itself next to the model it was made of: tokens, and llama.cpp's own predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from torch import Tensor

from core.errors import LlmoptError, RequestError
from core.formats.gguf.llama import process as llama
from core.formats.gguf.read.opening import file_tokenizer
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LARGEST_SHIFT = 0.1
_SHARE_OF_FREE_MEMORY = 0.5
_SHOWN_TOKENS = 5


@dataclass(frozen=True)
class GgufReading:
    """A file as engines read it: by its own configuration, which `core.formats.gguf.read` follows, and by its own tokenizer."""

    file: Path

    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer in the file; None for a rule that only llama.cpp has."""
        try:
            return file_tokenizer(self.file)
        except RequestError:
            return None

    def notes(self, windows: Tensor, nll: Tensor, on_line: Callable[[str], None]) -> list[str]:
        """What llama.cpp finds otherwise in the first window, where it is installed and has the memory; arguments as of `OwnReading.notes`.

        llama.cpp rounds the inputs of products, which shifts tokens by some hundredths of a nat; a window, rotary embedding or norm that it
        computes otherwise shifts them by far more.
        """
        if not llama.is_installed() or self.file.stat().st_size > _SHARE_OF_FREE_MEMORY * psutil.virtual_memory().available:
            return []
        try:
            found = llama.score(self.file, windows[:1].tolist(), 1, on_line=on_line)[0]
        except LlmoptError as error:
            return [f"llama.cpp could not run the file: {error}"]
        measured = nll[: len(found)]
        shift = float((nll.new_tensor(found) - measured).abs().mean())
        if shift <= _LARGEST_SHIFT:
            return []
        theirs, ours = sum(found) / len(found), float(measured.mean())
        return [
            f"llama.cpp computes the file otherwise than it was measured: {theirs:.3f} nats per token in the first window instead of {ours:.3f}, "
            f"{shift:.3f} apart from token to token"
        ]


def token_notes(file: Path, original: PreTrainedTokenizerBase, samples: Sequence[str]) -> list[str]:
    """Where the file's tokenizer cuts text otherwise than the original model's, as transformers reads that.

    Args:
        file: the GGUF file.
        original: tokenizer of the model's folder.
        samples: texts to compare on.
    """
    expected, theirs = [original(sample, verbose=False)["input_ids"] for sample in samples], f"transformers' {type(original).__name__}"
    notes = []
    try:
        tokenizer = file_tokenizer(file)
        found = [tokenizer(sample, verbose=False)["input_ids"] for sample in samples]
        if difference := _difference(original, expected, found):
            splits = f"the tokenizer in the file splits text into other tokens than {theirs} does for the original model"
            notes.append(f"{splits} ({difference}): figures are measured on the file's tokens")
        expected, theirs = found, "the file's tokenizer as it is read here"
    except RequestError as error:
        notes.append(f"figures are measured on the original's tokens: {error}")
    if not llama.is_installed():
        return notes
    try:
        difference = _difference(original, expected, llama.tokenize(file, samples, bos=True))
    except LlmoptError as error:
        return [*notes, f"llama.cpp could not open the file: {error}"]
    return [*notes, f"llama.cpp splits text into other tokens than {theirs} ({difference}): no figure is measured on them"] if difference else notes


def _difference(tokenizer: PreTrainedTokenizerBase, expected: Sequence[Sequence[int]], found: Sequence[Sequence[int]]) -> str:
    """The first tokens that differ in any of some texts, in the words of one tokenizer; empty where none do."""
    one, other = next(((list(one), list(other)) for one, other in zip(expected, found, strict=True) if list(one) != list(other)), ([], []))
    first = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other)))
    shown = (" ".join(map(str, tokenizer.convert_ids_to_tokens(ids[first : first + _SHOWN_TOKENS]))) for ids in (other, one))
    return " instead of ".join(clean(text, limit=120) or "nothing" for text in shown) if one != other else ""
