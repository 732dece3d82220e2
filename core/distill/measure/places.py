"""Where a student still differs from its teacher, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from core.distill.events import Place

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PLACES = 12
_BEFORE = 12
_CHARACTERS = 28


@dataclass(frozen=True)
class Tops:
    """The most likely token of each position and its probability, [n]."""

    tokens: Tensor
    probabilities: Tensor


def places(windows: Tensor, kl: Tensor, teacher: Tops, student: Tops, tokenizer: PreTrainedTokenizerBase) -> tuple[Place, ...]:
    """The positions of largest divergence.

    Args:
        windows: int64 [N, T].
        kl: float [N, T - 1], of the predictions of tokens 1 to T - 1.
        teacher: of its predictions, [N x (T - 1)].
        student: of its predictions.
        tokenizer: of both.
    """
    length = windows.shape[1] - 1
    found = []
    for index in kl.flatten().topk(min(_PLACES, kl.numel())).indices.tolist():
        row, place = divmod(index, length)
        found.append(
            Place(
                before=_text(tokenizer, windows[row, max(place + 1 - _BEFORE, 0) : place + 1].tolist())[-_CHARACTERS:],
                token=_text(tokenizer, [int(windows[row, place + 1])]),
                teacher=_text(tokenizer, [int(teacher.tokens[index])]),
                teacher_probability=float(teacher.probabilities[index]),
                student=_text(tokenizer, [int(student.tokens[index])]),
                student_probability=float(student.probabilities[index]),
                kl=float(kl.flatten()[index]),
            )
        )
    return tuple(found)


def _text(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    text = tokenizer.decode(list(tokens), skip_special_tokens=False)
    return str(text).replace("\n", "\u23ce").replace("\t", "\u21e5")
