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
    expected = [original(sample, verbose=False)["input_ids"] for sample in samples]
    readers: list[tuple[str, str, Callable[[], list[list[int]]]]] = [
        ("the tokenizer in the file", "figures are measured on the file's tokens", lambda: _read_here(file, samples))
    ]
    if llama.is_installed():
        readers.append(("llama.cpp", "no figure is measured on its tokens", lambda: llama.tokenize(file, samples, bos=True)))
    notes = []
    for reader, consequence, tokens_of in readers:
        try:
            pairs = zip(expected, tokens_of(), strict=True)
        except LlmoptError as error:
            notes.append(f"the file's tokenizer could not be compared with the original's: {error}")
            continue
        difference = next((_difference(original, theirs, found) for theirs, found in pairs if theirs != found), None)
        if difference is not None:
            cut = f"{reader} splits text into other tokens than transformers' {type(original).__name__} does for the original model"
            notes.append(f"{cut} ({difference}): {consequence}")
            break
    return notes


def _read_here(file: Path, samples: Sequence[str]) -> list[list[int]]:
    tokenizer = file_tokenizer(file)
    return [tokenizer(sample, verbose=False)["input_ids"] for sample in samples]


def _difference(tokenizer: PreTrainedTokenizerBase, expected: Sequence[int], found: Sequence[int]) -> str:
    """The first tokens that differ, in the words of one tokenizer."""
    first = next((at for at, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]), min(len(expected), len(found)))
    theirs, ours = (tokenizer.convert_ids_to_tokens(list(ids[first : first + _SHOWN_TOKENS])) for ids in (expected, found))
    return f"{clean(' '.join(map(str, ours)), limit=120)} instead of {clean(' '.join(map(str, theirs)), limit=120)}"
