"""Predictions of a model in memory, to hold a server's against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from core.benchmark.quality.passages import Passage
from core.engine import TokenScore, TopToken
from core.errors import RequestError
from core.formats.opening import open_whole, tokenizer_of
from core.models.resolve import resolve


@torch.inference_mode()
def model_scores(
    name: str, passages: Sequence[Passage], probe: tuple[str, Sequence[int]], top: int, device: str, look: Callable[[], None]
) -> list[tuple[TokenScore, ...]]:
    """Every token of each passage but its first, in float32 on a CPU, in the checkpoint's own dtype elsewhere.

    Args:
        name: of the model.
        passages: with their tokens.
        probe: a text, and its tokens by the tokenizer that cut the passages: the model's own must cut it alike.
        top: likeliest tokens of each place.
        device: where it computes.
        look: called between passages.

    Raises:
        RequestError: the model cannot be read, or cuts the text into other tokens than the passages have.
    """
    source = resolve(name)
    tokenizer = tokenizer_of(source)
    if list(tokenizer(probe[0], add_special_tokens=False).input_ids) != list(probe[1]):
        raise RequestError(f"{source.title} has a different tokenizer from the server's model")
    model = open_whole(source, torch.float32 if device == "cpu" else None, device)
    found = []
    for passage in passages:
        look()
        row = torch.tensor([passage.tokens], device=device)
        logs = model(row).logits[0, :-1].float().log_softmax(-1)
        likeliest = logs.topk(min(top, logs.shape[-1]), dim=-1)
        own = logs.gather(1, row[0, 1:, None])[:, 0].tolist()
        found.append(
            tuple(
                TokenScore("", value, token, tuple(TopToken("", each, number) for number, each in zip(numbers, values, strict=True)))
                for token, value, numbers, values in zip(row[0, 1:].tolist(), own, likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
            )
        )
    return found
