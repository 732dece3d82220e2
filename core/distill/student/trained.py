"""What a training of a student reached."""

from __future__ import annotations

from pydantic import BaseModel

from core.distill.events import HeldOut


class Trained(BaseModel):
    """What the training reached."""

    best_step: int
    """0: no step was better than the untrained student, which is what the parameters are."""
    steps: int
    """Those that were taken: fewer than asked for where patience ended it."""
    tokens: int
    """Predictions that were learned from."""
    tokens_per_second: float
    """Median over the steps of this start."""
    loss: dict[str, float]
    """Terms of the loss at the last step, by name."""
    held_out: list[HeldOut]
    """Every held-out evaluation, of all starts of the run; places are left out."""
    after: HeldOut
    """Of the parameters that were kept."""
