"""Cut calibration text into windows of tokens, drawn from all over it."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from core import text
from core.errors import RequestError
from core.measure.freed_memory import give_back_memory
from core.models.load import load_tokenizer
from core.models.source import ModelSource
from core.sanitize import clean
from core.text import Corpus

_CHARACTERS_A_TOKEN = 8


def windows_for(source: ModelSource, calibration: str, samples: int, length: int, seed: int) -> tuple[Tensor, str]:
    """Calibration tokens int64 [N, T] of a text, `builtin` or a file, as a model's tokenizer cuts it, and where they are from; errors as below."""
    corpus = text.load(calibration, split="train")
    windows = calibration_windows(corpus, load_tokenizer(source), samples, length, seed)
    name = corpus.name
    del corpus
    give_back_memory()
    return windows, f"{name}, {len(windows)} x {length} tokens, seed {seed}"


def calibration_windows(corpus: Corpus, tokenizer: PreTrainedTokenizerBase, samples: int, length: int, seed: int) -> Tensor:
    """Windows int64 [n, length] from different places of the text, none overlapping; n is `samples`, or as many as a short text gives.

    Of a long text only the drawn places are tokenized.

    Args:
        corpus: the text.
        tokenizer: the model's.
        samples: windows wanted.
        length: tokens of a window.
        seed: of the draw.

    Raises:
        RequestError: the text does not fill one window.
    """
    generator = torch.Generator().manual_seed(seed)
    span = length * _CHARACTERS_A_TOKEN
    slots = corpus.length // span
    if slots < 2 * samples:
        return _from_all(corpus, tokenizer, samples, length, generator)
    found: list[Tensor] = []
    for slot in torch.randperm(slots, generator=generator).tolist():
        tokens = _encode(corpus.piece(slot * span, (slot + 1) * span), tokenizer)
        if len(tokens) >= length:
            found.append(tokens[:length])
        if len(found) == samples:
            return torch.stack(found)
    return _from_all(corpus, tokenizer, samples, length, generator)


def _from_all(corpus: Corpus, tokenizer: PreTrainedTokenizerBase, samples: int, length: int, generator: torch.Generator) -> Tensor:
    tokens = _encode(corpus.text, tokenizer)
    windows = tokens[: len(tokens) // length * length].view(-1, length)
    if not len(windows):
        raise RequestError(
            f"the calibration text {clean(corpus.name, limit=80)} has {len(tokens)} tokens, and one sample needs "
            f"{length}: give a longer text, or a smaller calibration-length"
        )
    return windows[torch.randperm(len(windows), generator=generator)[:samples]]


def _encode(text: str, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    return torch.tensor(tokenizer(text, verbose=False)["input_ids"], dtype=torch.int64)
