"""One moment of the machine, immutable: what the sampler makes and every face reads.

A figure is None when the driver or the operating system refuses it ("not available"); it is never
replaced by zero. Memory is in bytes, shares in percent (0 to 100), power in watts, temperature in
degrees Celsius, clocks in MHz, throughput in bytes per second, times in seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Device memory; all None where memory is shared with the host (Jetson, Grace) or the driver refuses."""

    total: int | None = None
    used: int | None = None
    """Held by processes; without `reserved`."""
    free: int | None = None
    reserved: int | None = None
    """Held by driver and firmware; not available to processes."""

    @property
    def percent(self) -> float | None:
        """Share of the total that is used or reserved."""
        if self.total is None or self.used is None or self.total <= 0:
            return None
        return 100.0 * (self.used + (self.reserved or 0)) / self.total


@dataclass(frozen=True, slots=True)
class Pcie:
    """The link to the host: as it is now, and the best that card and slot can do together."""

    generation: int | None = None
    max_generation: int | None = None
    width: int | None = None
    max_width: int | None = None
    tx: float | None = None
    """Bytes per second from the GPU."""
    rx: float | None = None
    """Bytes per second to the GPU."""
    replays: int | None = None
    """Packets sent again since the driver was loaded: a bad slot or riser shows here."""


@dataclass(frozen=True, slots=True)
class Nvlink:
    """Links to other GPUs; a GPU without NVLink has None in its place."""

    links: int
    active: int
    speed: float | None = None
    """Bytes per second of one link, one direction."""
    tx: float | None = None
    rx: float | None = None


@dataclass(frozen=True, slots=True)
class Ecc:
    """Memory errors: since the driver was loaded (volatile), and of the card's whole life (aggregate)."""

    enabled: bool | None = None
    corrected_volatile: int | None = None
    uncorrected_volatile: int | None = None
    corrected_aggregate: int | None = None
    uncorrected_aggregate: int | None = None


@dataclass(frozen=True, slots=True)
class MigDevice:
    """A hardware slice of a GPU, with memory of its own."""

    index: int
    name: str | None = None
    uuid: str | None = None
    gpu_instance: int | None = None
    compute_instance: int | None = None
    memory: GpuMemory = field(default_factory=GpuMemory)
    hidden: bool = False
    """As of a GPU."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Clocks now and their highest values, MHz."""

    sm: int | None = None
    sm_max: int | None = None
    memory: int | None = None
    memory_max: int | None = None


@dataclass(frozen=True, slots=True)
class GpuState:
    """One GPU. `problem` names what is wrong with it in a sentence; the row stays when a GPU is lost."""

    index: int
    name: str | None = None
    uuid: str | None = None
    bus_id: str | None = None
    memory: GpuMemory = field(default_factory=GpuMemory)
    utilization: float | None = None
    """Share of the last period in which at least one kernel ran."""
    memory_utilization: float | None = None
    """Share of the last period in which device memory was read or written."""
    power: float | None = None
    power_limit: float | None = None
    energy: float | None = None
    """Joules since the driver was loaded."""
    temperature: int | None = None
    temperature_memory: int | None = None
    temperature_slowdown: int | None = None
    """Temperature at which the hardware slows down."""
    fan: int | None = None
    clocks: Clocks = field(default_factory=Clocks)
    performance_state: str | None = None
    """P0 (fastest) to P15."""
    pcie: Pcie = field(default_factory=Pcie)
    nvlink: Nvlink | None = None
    ecc: Ecc = field(default_factory=Ecc)
    throttle: tuple[str, ...] | None = None
    """Why the clocks are not at their highest, in words; empty: nothing holds them back; None: not available."""
    compute_mode: str | None = None
    persistence: bool | None = None
    virtualization: str | None = None
    compute_capability: tuple[int, int] | None = None
    mig_enabled: bool | None = None
    mig: tuple[MigDevice, ...] = ()
    unified_memory: bool = False
    """The GPU works in the host's memory: look at `Snapshot.memory`."""
    hidden: bool = False
    """CUDA_VISIBLE_DEVICES keeps it from programs that are started from here."""
    processes_listed: bool = True
    """Whether the driver reports which processes use the GPU."""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class CpuState:
    """The processors: shares of all, counts of those that this process may use."""

    percent: float | None
    per_core: tuple[float, ...] = ()
    load: tuple[float, float, float] | None = None
    """Mean length of the run queue over 1, 5 and 15 minutes."""
    logical: int | None = None
    physical: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class MemoryState:
    """Main memory and swap. `limit` is the container's own limit where one is set."""

    total: int
    used: int
    available: int
    swap_total: int = 0
    swap_used: int = 0
    limit: int | None = None
    limit_used: int | None = None

    @property
    def percent(self) -> float:
        """Share of the memory that cannot be had without swapping."""
        return 100.0 * (self.total - self.available) / self.total if self.total else 0.0

    @property
    def usable(self) -> int:
        """What a new program can have now: what is available, and no more than the container's limit leaves."""
        if self.limit is None:
            return self.available
        return max(min(self.available, self.limit - (self.limit_used or 0)), 0)


@dataclass(frozen=True, slots=True)
class DiskState:
    """The file system that holds one of our folders; figures are None when it cannot be asked."""

    label: str
    """What lies there: models, runs."""
    path: str
    total: int | None = None
    used: int | None = None
    free: int | None = None
    """What this user may still write."""


ProcessKind = Literal["compute", "graphics", "run"]


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A process on a GPU (one row a GPU), or one of our runs that is on none (`kind` run, `gpu` None)."""

    pid: int
    kind: ProcessKind
    gpu: int | None = None
    gpu_memory: int | None = None
    mig: int | None = None
    """Index of the MIG device it runs in."""
    started: float | None = None
    owner: str | None = None
    command: str | None = None
    cpu: float | None = None
    """Percent of one core since the last sample."""
    rss: int | None = None
    ours: bool = False
    run: str | None = None
    """Id of the run it belongs to."""
    foreign: bool = False
    """Its pid belongs to another pid namespace (the host's, seen from a container): it cannot be looked at or ended from here."""


@dataclass(frozen=True, slots=True)
class DriverState:
    """Versions: the kernel driver, the newest CUDA it serves, the management library."""

    version: str | None = None
    cuda: str | None = None
    nvml: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The machine at time `t`."""

    t: float
    gpus: tuple[GpuState, ...]
    cpu: CpuState
    memory: MemoryState
    disks: tuple[DiskState, ...] = ()
    processes: tuple[ProcessState, ...] = ()
    driver: DriverState | None = None
    gpu_problem: str | None = None
    """Why `gpus` is empty, in a sentence."""
    host: str = ""
    seconds: float | None = None
    """What taking this snapshot cost."""

    def to_json(self) -> dict[str, object]:
        """Plain values for a JSON document; tuples become lists, figures not available are null."""
        return _plain(asdict(self))  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
