"""Where something was measured: system, processor, memory, GPUs, versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from core.event import shown
from core.measure.units import size
from core.result import Figures

Text = Annotated[str, shown(200)]
_COMPARED = ("system", "processor", "cores", "memory_bytes", "gpus")


class Surroundings(Figures):
    """A machine and its software; None where something is not known."""

    system: Text | None = None
    processor: Text | None = None
    cores: int | None = None
    memory_bytes: int | None = None
    gpus: Text | None = None
    """None where no driver shows any."""
    nvidia_driver: Text | None = None
    cuda: Text | None = None
    python: Text | None = None
    llmopt: Text | None = None
    aiohttp: Text | None = None
    load_average: float | None = None
    """Of one minute."""
    torch: Text | None = None

    def differing(self, other: Surroundings) -> tuple[str, ...]:
        """In what another machine differs, as far as that changes figures."""
        return tuple(name.removesuffix("_bytes") for name in _COMPARED if getattr(self, name) != getattr(other, name))

    def facts(self) -> Iterator[tuple[str, str]]:
        """What is known, as names and texts that are safe to show."""
        for name, value in self:
            if value is not None:
                yield name.removesuffix("_bytes").replace("_", " "), size(value) if name.endswith("_bytes") else str(value)
