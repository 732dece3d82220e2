"""Reads one GPU. Each figure is asked for at its own pace; what the driver refuses is None."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

from core.hardware.live.nvml import Device, FieldValue, Nvml
from core.hardware.live.rates import Rates
from core.hardware.snapshot import Clocks, Ecc, GpuMemory, GpuState, MigDevice, Nvlink, Pcie, ProcessKind
from core.sanitize import clean

IDENTITY = 300.0
SETTINGS = 10.0
COUNTERS = 5.0
"""Seconds for which an answer about identity, settings and error counters is kept."""
LOST = 10.0
"""Seconds before a lost GPU is asked again: each call to one may hang for a while."""

THROTTLE_REASONS = {
    0x001: "idle",
    0x002: "application clocks",
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "thermal limit (software)",
    0x040: "thermal limit (hardware)",
    0x080: "external power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability limit",
}
"""Bits of nvmlClocksEventReasons (older drivers: ThrottleReasons)."""
COMPUTE_MODES = {0: "default", 1: "exclusive thread", 2: "prohibited", 3: "exclusive process"}
VIRTUALIZATION = {0: "none", 1: "passthrough", 2: "vGPU guest", 3: "vGPU host", 4: "vSGA host"}


@dataclass
class RawProcess:
    """A process as the driver lists it."""

    pid: int
    kind: ProcessKind
    gpu: int
    memory: int | None
    mig: int | None = None


@dataclass
class _Mig:
    device: MigDevice
    handle: Device


@dataclass
class GpuReader:
    """One GPU across samples."""

    nvml: Nvml
    index: int
    device: Device | None = None
    rates: Rates = field(default_factory=Rates)
    _fault: str | None = None
    _retry: float = 0.0
    _beyond_32_bits: bool = False
    _mig: tuple[float, list[_Mig]] = (0.0, [])

    def read(self, t: float) -> tuple[GpuState, list[RawProcess]]:
        """The GPU's state and its processes."""
        if self._fault is not None and time.monotonic() < self._retry:
            return self._identity(self._fault), []
        if self.device is None and not self._open():
            return self._identity(self._failed(self._fault or "the driver cannot open this GPU")), []
        device = self.device
        assert device is not None
        device.begin()
        state = self._state(device, t)
        processes = self._processes(device)
        if device.problem is not None:
            return self._identity(self._failed(device.problem)), []
        self._fault = None
        return (state if processes is not None else replace(state, processes_listed=False)), processes or []

    def _open(self) -> bool:
        lost: list[str] = []
        handle = self.nvml.query("nvmlDeviceGetHandleByIndex", self.index, lost=lost)
        self._fault = lost[0] if lost else None
        self.device = Device(self.nvml, handle) if handle is not None else None
        return self.device is not None

    def _failed(self, sentence: str) -> str:
        self._fault = sentence
        self._retry = time.monotonic() + LOST
        return sentence

    def _identity(self, problem: str | None) -> GpuState:
        if self.device is None:
            return GpuState(self.index, problem=problem)
        return GpuState(self.index, problem=problem, **_identity(self.device))

    def _state(self, device: Device, t: float) -> GpuState:
        identity = _identity(device)
        refused: list[str] = []
        memory = read_memory(device, refused)
        mode = device.slowly(SETTINGS, "nvmlDeviceGetMigMode")
        mig_enabled = None if mode is None else bool(mode[0])
        utilization = device.ask("nvmlDeviceGetUtilizationRates")
        limit = device.slowly(SETTINGS, "nvmlDeviceGetEnforcedPowerLimit")
        if limit is None:
            limit = device.slowly(SETTINGS, "nvmlDeviceGetPowerManagementLimit")
        persistence = device.slowly(SETTINGS, "nvmlDeviceGetPersistenceMode")
        performance = device.ask("nvmlDeviceGetPerformanceState")
        memory_temperature, tx, rx = device.fields([_MEMORY_TEMPERATURE, _PCIE_TX, _PCIE_RX])
        return GpuState(
            self.index,
            **identity,
            memory=memory,
            utilization=None if utilization is None else float(utilization.gpu),
            memory_utilization=None if utilization is None else float(utilization.memory),
            power=_scaled(device.ask("nvmlDeviceGetPowerUsage"), 1e-3),
            power_limit=_scaled(limit, 1e-3),
            energy=_scaled(device.ask("nvmlDeviceGetTotalEnergyConsumption"), 1e-3),
            temperature=_temperature(device),
            temperature_memory=int(memory_temperature.value) if memory_temperature and memory_temperature.value > 0 else None,
            temperature_slowdown=device.slowly(IDENTITY, "nvmlDeviceGetTemperatureThreshold", 1),
            fan=device.ask("nvmlDeviceGetFanSpeed"),
            clocks=_clocks(device),
            performance_state=None if performance is None or performance > 15 else f"P{performance}",
            pcie=self._pcie(device, t, tx, rx),
            nvlink=self._nvlink(device, t),
            ecc=_ecc(device),
            throttle=_throttle(device),
            compute_mode=COMPUTE_MODES.get(device.slowly(SETTINGS, "nvmlDeviceGetComputeMode")),
            persistence=None if persistence is None else bool(persistence),
            virtualization=VIRTUALIZATION.get(device.slowly(IDENTITY, "nvmlDeviceGetVirtualizationMode")),
            mig_enabled=mig_enabled,
            mig=tuple(mig.device for mig in self._mig_devices(device, mig_enabled)),
            unified_memory=not mig_enabled and _shares_memory(identity, unsupported=memory.total is None and "NVML_ERROR_NOT_SUPPORTED" in refused),
        )

    def _pcie(self, device: Device, t: float, tx: FieldValue | None, rx: FieldValue | None) -> Pcie:
        rates: list[float | None] = []
        for direction, (counter, value) in enumerate((("tx", tx), ("rx", rx))):
            self._beyond_32_bits = self._beyond_32_bits or (value is not None and value.value > _MOST_32_BITS)
            if value is not None and self._beyond_32_bits:  # a counter of 32 bits would wrap within a sample, unseen
                rates.append(self.rates.rate(counter, value.value, value.t or t))
            else:  # measured by the driver over 20 ms, in KiB/s
                rates.append(_scaled(device.ask("nvmlDeviceGetPcieThroughput", direction), 1024))
        return Pcie(
            generation=device.slowly(COUNTERS, "nvmlDeviceGetCurrPcieLinkGeneration"),
            max_generation=device.slowly(IDENTITY, "nvmlDeviceGetMaxPcieLinkGeneration"),
            width=device.slowly(COUNTERS, "nvmlDeviceGetCurrPcieLinkWidth"),
            max_width=device.slowly(IDENTITY, "nvmlDeviceGetMaxPcieLinkWidth"),
            tx=rates[0],
            rx=rates[1],
            replays=device.slowly(COUNTERS, "nvmlDeviceGetPcieReplayCounter"),
        )

    def _nvlink(self, device: Device, t: float) -> Nvlink | None:
        count = device.slowly_field(IDENTITY, _NVLINK_COUNT)
        links = int(count) if count else 0
        if links <= 0 or links > _MOST_LINKS:
            return None
        active = [link for link in range(links) if device.slowly(SETTINGS, "nvmlDeviceGetNvLinkState", link) == 1]
        speed = device.slowly_field(SETTINGS, _NVLINK_SPEED)
        values = device.fields([(counter, link) for counter in (_NVLINK_TX, _NVLINK_RX) for link in active])
        tx, rx = _sum(values[: len(active)]), _sum(values[len(active) :])
        return Nvlink(
            links=links,
            active=len(active),
            speed=_scaled(speed, 1e6),
            tx=_scaled(self.rates.rate("nvlink tx", tx.value, tx.t or t) if tx else None, 1024),
            rx=_scaled(self.rates.rate("nvlink rx", rx.value, rx.t or t) if rx else None, 1024),
        )

    def _mig_devices(self, device: Device, enabled: bool | None) -> list[_Mig]:
        if not enabled:
            return []
        due, known = self._mig
        if time.monotonic() >= due:
            known = []
            for index in range(device.ask("nvmlDeviceGetMaxMigDeviceCount") or 0):
                handle = device.ask("nvmlDeviceGetMigDeviceHandleByIndex", index)
                if handle is not None:
                    known.append(_Mig(_mig_identity(index, Device(self.nvml, handle)), Device(self.nvml, handle)))
            due = time.monotonic() + SETTINGS
        for mig in known:
            mig.handle.begin()
            mig.device = replace(mig.device, memory=read_memory(mig.handle, []))
        self._mig = (due, known)
        return known

    def _processes(self, device: Device) -> list[RawProcess] | None:
        """Compute, MPS and graphics processes of the GPU and of its MIG devices (the GPU itself lists theirs to root only); None when refused."""
        found: dict[tuple[int, int | None], RawProcess] = {}
        instances = {(mig.device.gpu_instance, mig.device.compute_instance): mig.device.index for mig in self._mig[1]}
        listed = False
        for handle, mig in [(mig.handle, mig.device.index) for mig in self._mig[1]] + [(device, None)]:
            for function, kind in _PROCESS_LISTS:
                rows = handle.ask(function)
                if rows is None:
                    rows = handle.ask(function + "_v2")
                listed = listed or rows is not None
                for row in rows or ():
                    where = mig if mig is not None else instances.get((getattr(row, "gpuInstanceId", None), getattr(row, "computeInstanceId", None)))
                    known = found.setdefault((row.pid, where), RawProcess(row.pid, kind, self.index, None, where))
                    known.memory = max((memory for memory in (known.memory, row.usedGpuMemory) if memory is not None), default=None)
        return list(found.values()) if listed else None


_MEMORY_TEMPERATURE = 82  # NVML_FI_DEV_MEMORY_TEMP
_NVLINK_SPEED = 90  # NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON
_NVLINK_COUNT = 91  # NVML_FI_DEV_NVLINK_LINK_COUNT
_NVLINK_TX = 138  # NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, KiB
_NVLINK_RX = 139  # NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, KiB
_PCIE_TX = 197  # NVML_FI_DEV_PCIE_COUNT_TX_BYTES
_PCIE_RX = 198  # NVML_FI_DEV_PCIE_COUNT_RX_BYTES
_MOST_LINKS = 36
_MOST_32_BITS = 0xFFFFFFFF
_PROCESS_LISTS: tuple[tuple[str, ProcessKind], ...] = (
    ("nvmlDeviceGetComputeRunningProcesses", "compute"),
    ("nvmlDeviceGetMPSComputeRunningProcesses", "compute"),
    ("nvmlDeviceGetGraphicsRunningProcesses", "graphics"),
)


def read_memory(device: Device, refused: list[str]) -> GpuMemory:
    """Memory of a GPU or MIG device. The newer call reports the driver's own share apart; the older counts it as used."""
    memory = device.ask("nvmlDeviceGetMemoryInfo", device.nvml.constant("nvmlMemory_v2"), refused=refused)
    if memory is None:
        memory = device.ask("nvmlDeviceGetMemoryInfo", refused=refused)
    if memory is None or memory.total == 0:
        return GpuMemory()
    return GpuMemory(memory.total, memory.used, memory.free, getattr(memory, "reserved", None))


_INTEGRATED = frozenset({(3, 2), (5, 3), (6, 2), (7, 2), (8, 7), (8, 8), (10, 1), (11, 0), (12, 1)})
"""Compute capabilities of GPUs in the host's memory: Tegra K1, X1, X2, Xavier, Orin, Thor (also as 10.1), GB10."""
_DISCRETE = frozenset({(3, 5), (3, 7), (5, 0), (5, 2), (6, 0), (6, 1), (7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0)})
"""Of GPUs with memory of their own, which some drivers do not show to guests."""
_INTEGRATED_NAMES = ("GB10", "Orin", "Thor", "Xavier", "Tegra")


def _shares_memory(identity: dict[str, Any], *, unsupported: bool) -> bool:
    """Whether a GPU works in the host's memory, whatever its driver says of that: nothing, zero, or the host's figures.

    Args:
        identity: its name and compute capability.
        unsupported: the driver has no figure for its memory; this decides for GPUs that are not known yet.
    """
    capability, name = identity["compute_capability"], identity["name"] or ""
    if capability in _INTEGRATED or any(part in name.replace("-", " ").split() for part in _INTEGRATED_NAMES):
        return True
    return unsupported and capability is not None and capability not in _DISCRETE


def _identity(device: Device) -> dict[str, Any]:
    pci = device.slowly(IDENTITY, "nvmlDeviceGetPciInfo")
    capability = device.slowly(IDENTITY, "nvmlDeviceGetCudaComputeCapability")
    return {
        "name": _text(device.slowly(IDENTITY, "nvmlDeviceGetName")),
        "uuid": _text(device.slowly(IDENTITY, "nvmlDeviceGetUUID")),
        "bus_id": _text(pci.busId) if pci is not None else None,
        "compute_capability": tuple(capability) if capability is not None else None,
    }


def _mig_identity(index: int, device: Device) -> MigDevice:
    return MigDevice(
        index,
        name=_text(device.ask("nvmlDeviceGetName")),
        uuid=_text(device.ask("nvmlDeviceGetUUID")),
        gpu_instance=device.ask("nvmlDeviceGetGpuInstanceId"),
        compute_instance=device.ask("nvmlDeviceGetComputeInstanceId"),
    )


def _temperature(device: Device) -> int | None:
    answer: int | None = device.ask("nvmlDeviceGetTemperatureV", 0)
    return answer if answer is not None else device.ask("nvmlDeviceGetTemperature", 0)


def _clocks(device: Device) -> Clocks:
    return Clocks(
        sm=device.ask("nvmlDeviceGetClockInfo", 1),
        sm_max=device.slowly(IDENTITY, "nvmlDeviceGetMaxClockInfo", 1),
        memory=device.ask("nvmlDeviceGetClockInfo", 2),
        memory_max=device.slowly(IDENTITY, "nvmlDeviceGetMaxClockInfo", 2),
    )


def _ecc(device: Device) -> Ecc:
    mode = device.slowly(SETTINGS, "nvmlDeviceGetEccMode")
    counts = [device.slowly(COUNTERS, "nvmlDeviceGetTotalEccErrors", kind, counter) for counter in (0, 1) for kind in (0, 1)]
    return Ecc(None if mode is None else bool(mode[0]), *counts)


def _throttle(device: Device) -> tuple[str, ...] | None:
    bits = device.ask("nvmlDeviceGetCurrentClocksEventReasons")
    if bits is None:
        bits = device.ask("nvmlDeviceGetCurrentClocksThrottleReasons")
    if bits is None:
        return None
    words = [word for bit, word in THROTTLE_REASONS.items() if bits & bit]
    unknown = bits & ~sum(THROTTLE_REASONS)
    return (*words, f"reason {unknown:#x}") if unknown else tuple(words)


def _sum(values: list[FieldValue | None]) -> FieldValue | None:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return FieldValue(sum(value.value for value in known), max(value.t for value in known))


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return clean(value, limit=120) if isinstance(value, str) else None
