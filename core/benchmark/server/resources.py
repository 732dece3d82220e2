"""What a server's processes take of the GPUs: memory and energy by NVIDIA's management library; nothing where it does not say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import psutil

from core.hardware.live.gpu import RawProcess
from core.hardware.live.probe import GpuProbe
from core.hardware.snapshot import GpuState


@dataclass(frozen=True)
class GpuLook:
    """One look at the GPUs that a server's processes are on."""

    memory: int | None = None
    """Bytes that the processes hold; None where the driver does not tell them apart, or not of every one."""
    joules: float | None = None
    """Counted since the driver was loaded, all those GPUs together; None where one of them does not count."""
    watts: float | None = None
    gpus: tuple[int, ...] = ()
    """Indices of those GPUs."""


class GpuMeter:
    """Looks at the GPUs of a server on this machine.

    A GPU's energy is the whole card's: other programs on it count too. Where the driver has no counter of energy (before Volta), its power
    is summed over the time between looks.

    Args:
        pid: of the server's process, whose descendants count too; None: it is not on this machine, and nothing is known.
        probe: asks the driver.
        clock: seconds.
    """

    def __init__(self, pid: int | None, probe: GpuProbe | None, clock: Callable[[], float]) -> None:
        self._pid, self._probe, self._clock = pid, probe, clock
        self._summed = 0.0
        self._before: tuple[float, float] | None = None
        self._counted: float | None = None
        self._gpus: tuple[int, ...] = ()
        self._known = False
        self.latest = GpuLook()

    def look(self) -> GpuLook:
        """Request now."""
        if self._pid is None or self._probe is None:
            return self.latest
        now = self._clock()
        states, processes, _, _ = self._probe.read(now)
        self.latest = look_at(states, processes, family_of(self._pid))
        if self.latest.watts is not None and self._before is not None:
            self._summed += (self.latest.watts + self._before[1]) / 2 * (now - self._before[0])
        self._before = None if self.latest.watts is None else (now, self.latest.watts)
        return self.latest

    def mark(self) -> None:
        """The energy counts from here."""
        begin = self.look()
        self._summed, self._counted, self._gpus = 0.0, begin.joules, begin.gpus
        self._known = begin.joules is not None or begin.watts is not None

    def joules(self) -> float | None:
        """Since `mark`, by the latest look; None where it is not known, or the server went to other GPUs meanwhile."""
        if not self._known or self.latest.gpus != self._gpus:
            return None
        if self._counted is not None and self.latest.joules is not None:
            return max(self.latest.joules - self._counted, 0.0)
        return self._summed if self._before is not None else None

    def close(self) -> None:
        """End the session with the driver."""
        if self._probe is not None:
            self._probe.close()


def look_at(states: Sequence[GpuState], processes: Sequence[RawProcess], family: Collection[int]) -> GpuLook:
    """What a family of processes takes, out of what the driver says."""
    ours = [process for process in processes if process.pid in family]
    if not ours:
        return GpuLook()
    gpus = tuple(sorted({process.gpu for process in ours}))
    used = [state for state in states if state.index in gpus]
    memory = _total([process.memory for process in ours])
    return GpuLook(None if memory is None else int(memory), _total([state.energy for state in used]), _total([state.power for state in used]), gpus)


def family_of(pid: int) -> frozenset[int]:
    """A process and its descendants; empty when it is gone."""
    try:
        root = psutil.Process(pid)
        return frozenset({pid, *(child.pid for child in root.children(recursive=True))})
    except psutil.Error:
        return frozenset()


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
