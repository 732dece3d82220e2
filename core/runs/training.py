"""A training as part of a run: progress and figures of each step, and a request to cancel that waits until the state is safe."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from core.errors import Cancelled, RunFailed
from core.runs.steps import Steps
from core.training.trainer import Step, Trainer

Words = Callable[[Step], str]
"""From a finished step to what comes next."""


def fit(trainer: Trainer, steps: Steps, figure: str, words: Words, advice: str, *, enough: Callable[[], bool] = lambda: False) -> None:
    """Train to the end, resuming from the trainer's checkpoint where there is one.

    Args:
        trainer: of the run.
        steps: reports every step; those that an earlier start has taken count as finished.
        figure: name under which the loss is reported; the parts of the loss are reported with their names as labels.
        words: what comes next.
        advice: what to do about a loss that is not a number, for example `lower learning-rate`.
        enough: asked as `stop` of the trainer, whose state it looks at: True ends the training early.

    Raises:
        RunFailed: the loss is NaN or Inf.
        Cancelled: by the user; the state of the training was saved.
    """
    cancelled: list[Cancelled] = []
    begun = False

    def on_step(step: Step) -> None:
        nonlocal begun
        if not isfinite(step.loss):
            raise RunFailed(f"the loss of step {step.step} is NaN or Inf: {advice}")
        if not begun:
            steps.skip(step.step - 1)
            begun = True
        steps.measured(figure, step.loss, step.step, "")
        for name, value in step.parts.items():
            steps.measured(figure, value, step.step, name)
        try:
            steps.step(words(step))
        except Cancelled as error:
            cancelled.append(error)

    trainer.fit(on_step, stop=lambda: bool(cancelled) or enough())
    if not begun:
        steps.skip(trainer.step)
    if cancelled:
        raise cancelled[0]
