"""Detail events of a distillation: how far the student is on held-out text, and where it still differs."""

from __future__ import annotations

from typing import Annotated, ClassVar

from core.event import DetailEvent, Label, at_most, shown


class Place(DetailEvent):
    """One token of held-out text at which the student predicts otherwise than its teacher."""

    kind: ClassVar[str] = "place"

    before: Annotated[str, shown(60)]
    """Text before it."""
    token: Annotated[str, shown(40)]
    """What follows in the text."""
    teacher: Annotated[str, shown(40)]
    """The teacher's most likely token."""
    teacher_probability: float
    student: Annotated[str, shown(40)]
    """The student's most likely token."""
    student_probability: float
    kl: float
    """KL divergence of the student from the teacher there, in nats."""


class HeldOut(DetailEvent):
    """The student on held-out text after a step. Intervals are standard errors of dependent tokens."""

    kind: ClassVar[str] = "held-out"

    label: Label = ""
    """Which of several trainings; empty: the only one."""
    step: int
    """Finished steps; 0: untrained."""
    kl: float
    kl_se: float
    top1: float
    """Share of tokens on which student and teacher find the same token most likely."""
    top1_se: float
    nll: float
    """Of the text, in nats per token."""
    gap_closed: float | None = None
    """Share of the difference between untrained student and teacher that is gone, of the negative log-likelihood; None: there was none."""
    gap_closed_se: float | None = None
    places: Annotated[tuple[Place, ...], at_most(12)] = ()
    """Largest divergences first."""
