"""Open the target of a speculative run."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from core.errors import RequestError
from core.evaluate.logits.threads import torch_threads
from core.formats.opening import open_whole, tokenizer_of
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.runtime.generate import eos_tokens
from core.runtime.opening import open_decoder
from core.runtime.threads import usual_threads
from core.speculate.bench.shape import TREE_SLOTS
from core.speculate.bench.speculator import Target
from core.speculate.spec import DraftingSpec


def open_target(spec: DraftingSpec, device: str, *, slots: int, batch: int, needed_bytes: int = 0) -> Target:
    """The target with its cache.

    Args:
        spec: names the model and its arithmetic.
        device: cpu or cuda:N.
        slots: of the cache; at most the model's context is taken.
        batch: sequences.
        needed_bytes: estimate of what the run takes, for a GPU whose memory is only known here.

    Raises:
        RequestError: the model cannot be opened, or the GPU has not the memory.
    """
    source = resolve(spec.model)
    card = source.card()
    if device.startswith("cuda"):
        free = torch.cuda.mem_get_info(device)[0]
        if needed_bytes > free:
            raise RequestError(f"this takes about {needed_bytes / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB of {device} are free: lower the batch")
    dtype = dtype_of(spec, card, device)
    model = open_whole(source, dtype, device)
    slots += TREE_SLOTS if spec.drafter == "medusa" else 0
    decoder = open_decoder(model, min(slots, card.context or slots), batch=batch)
    return Target(model, tokenizer_of(source), card, decoder, dtype, device, eos_tokens(model))


def dtype_of(spec: DraftingSpec, card: ModelCard, device: str) -> torch.dtype:
    """The arithmetic that was asked for; `auto` is float32 on a CPU and the checkpoint's own elsewhere."""
    name = spec.dtype
    if name == "auto":
        name = "float32" if device == "cpu" or card.dtype not in ("float32", "float16", "bfloat16") else card.dtype  # type: ignore[assignment]
    found: torch.dtype = getattr(torch, name)
    return found


def threads(count: int, card: ModelCard, device: str) -> AbstractContextManager[int]:
    """torch uses so many cores; 0: one for a small model on a CPU, as many as it would for others. Gives the number."""
    return torch_threads(count or usual_threads(card, device))
