"""What can be asked of a tick."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.spec import Spec

End = Literal["well", "sentence", "crash", "segfault", "deaf", "full", "silent", "library", "bare", "native", "unaware"]


class TickSpec(Spec):
    """Tick a number of times."""

    capability: ClassVar[str] = "tick"

    ticks: Annotated[int, Field(description="How often", ge=1, le=10_000)] = 3
    pause: Annotated[float, Field(description="Seconds between", ge=0)] = 0.01
    end: Annotated[End, Field(description="How it ends")] = "well"
    child: Annotated[bool, Field(description="Start a program of its own")] = False
    out: Annotated[str | None, Field(description="File to write")] = None
