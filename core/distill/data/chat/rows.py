"""Conversations as rows of one length, padded, with the predictions that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.distill.data.chat.mask import MaskedTokens, masked_tokens
from core.distill.data.conversation import Conversation
from core.errors import RequestError
from core.training.batches import Batch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_NAMED = 10


@dataclass(frozen=True)
class Rows:
    """Conversations for a training."""

    tokens: Tensor
    """int64 [N, T]; behind a conversation the padding, to whose tokens nothing before it attends in a causal model."""
    counted: Tensor
    """bool [N, T]: whether the prediction at a position, of the token after it, counts. Never at a row's end, of a prompt, or of padding."""
    too_long: int
    """Conversations of more than T tokens, which were left out: cut off, they would teach answers without an end."""

    def batch(self, rows: Tensor | slice) -> Batch:
        """Some of the rows."""
        return Batch(self.tokens[rows], self.counted[rows])


def rows_of(tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Conversation], length: int) -> Rows:
    """Rows in the order of the conversations.

    Args:
        tokenizer: with a chat template.
        conversations: each ends with an assistant's turn.
        length: tokens of a row at most; T is the longest conversation that fits.

    Raises:
        RequestError: a conversation has nothing to learn or cannot be masked, the first are named by their numbers; or none fits.
    """
    found: list[MaskedTokens] = []
    refused: list[tuple[int, RequestError]] = []
    too_long = 0
    for number, conversation in enumerate(conversations, 1):
        try:
            masked = masked_tokens(tokenizer, conversation)
        except RequestError as error:
            refused.append((number, error))
            continue
        if len(masked.tokens) > length:
            too_long += 1
        else:
            found.append(masked)
    if refused:
        _refuse(refused, len(conversations))
    if not found:
        raise RequestError(f"none of {len(conversations)} conversations fits into {length} tokens: raise length")
    widest = max(len(masked.tokens) for masked in found)
    tokens = torch.full((len(found), widest), _padding(tokenizer), dtype=torch.int64)
    counted = torch.zeros((len(found), widest), dtype=torch.bool)
    for row, masked in enumerate(found):
        tokens[row, : len(masked.tokens)] = torch.tensor(masked.tokens)
        counted[row, : len(masked.mask) - 1] = torch.tensor(masked.mask[1:])
    return Rows(tokens, counted, too_long)


def _refuse(refused: Sequence[tuple[int, RequestError]], count: int) -> None:
    numbers = ", ".join(str(number) for number, _ in refused[:_NAMED]) + (", ..." if len(refused) > _NAMED else "")
    first = refused[0][1]
    raise RequestError(f"{len(refused)} of {count} conversations cannot be learned from (number {numbers}), the first because {first}") from first


def _padding(tokenizer: PreTrainedTokenizerBase) -> int:
    """Any token of the vocabulary: which one makes no difference."""
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0)
