"""How many threads decode."""

from __future__ import annotations

import torch

from core.measure.limits import cores
from core.models.card import ModelCard

_SMALL = 100_000_000
"""Parameters below which threads that share an operation wait for each other longer than they work, most of all next to other programs."""


def on_one_thread(card: ModelCard, device: str) -> bool:
    """Whether the model is so small that on a CPU one thread decodes it best."""
    return device == "cpu" and card.parameters < _SMALL


def usual_threads(card: ModelCard, device: str) -> int:
    """One for a small model on a CPU, for others as many as torch takes and this process may use."""
    return 1 if on_one_thread(card, device) else min(torch.get_num_threads(), cores())
