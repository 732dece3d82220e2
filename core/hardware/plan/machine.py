"""A machine to plan for: this one, or GPUs known by name. No live figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Literal

from core.errors import RequestError
from core.hardware.snapshot import MEBIBYTE, GpuState, Snapshot

Vendor = Literal["nvidia", "amd"]


@dataclass(frozen=True, slots=True)
class Gpu:
    """What of a GPU decides which model fits and which arithmetic it has."""

    name: str
    memory: int
    """Bytes that programs can have."""
    bandwidth: float | None = None
    """Bytes per second of its memory, by the maker's data sheet."""
    compute_capability: tuple[int, int] | None = None
    vendor: Vendor = "nvidia"
    unified: bool = False
    """Its memory is the host's."""
    mig: bool = False
    """A slice of a GPU: it cannot share a model with another."""
    used: int = 0
    """Bytes that processes held when it was looked at."""

    @property
    def fp8(self) -> bool:
        """Whether it multiplies FP8 matrices: Ada, Hopper, Blackwell; AMD's MI300."""
        return self._at_least((8, 9)) if self.vendor == "nvidia" else "MI300" in self.name or "MI325" in self.name

    @property
    def int8(self) -> bool:
        """Whether vLLM multiplies INT8 matrices on it (its kernels exist from Turing to Hopper)."""
        return self.vendor == "nvidia" and self._at_least((7, 5)) and not self._at_least((10, 0))

    @property
    def bf16(self) -> bool:
        """Whether it computes in bfloat16: Ampere and later."""
        return self.vendor == "amd" or self._at_least((8, 0))

    @property
    def w4(self) -> bool:
        """Whether vLLM's 4-bit weight kernels run on it: Turing and later."""
        return self.vendor == "nvidia" and self._at_least((7, 5))

    def _at_least(self, capability: tuple[int, int]) -> bool:
        return self.compute_capability is not None and self.compute_capability >= capability


def _gpu(name: str, mebibytes: int, gigabytes_per_second: float, capability: tuple[int, int] | None, vendor: Vendor = "nvidia") -> Gpu:
    return Gpu(name, mebibytes * MEBIBYTE, gigabytes_per_second * 1e9, capability, vendor)


NAMED: dict[str, Gpu] = {
    "b200": _gpu("B200 180GB", 183_359, 8000, (10, 0)),
    "h200": _gpu("H200 141GB", 143_771, 4800, (9, 0)),
    "gh200": _gpu("GH200 96GB", 97_871, 4000, (9, 0)),
    "h100": _gpu("H100 SXM 80GB", 81_559, 3350, (9, 0)),
    "h100-pcie": _gpu("H100 PCIe 80GB", 81_559, 2000, (9, 0)),
    "a100-80": _gpu("A100 80GB", 81_920, 2039, (8, 0)),
    "a100-40": _gpu("A100 40GB", 40_960, 1555, (8, 0)),
    "l40s": _gpu("L40S 48GB", 46_068, 864, (8, 9)),
    "l4": _gpu("L4 24GB", 23_034, 300, (8, 9)),
    "a10": _gpu("A10 24GB", 23_028, 600, (8, 6)),
    "rtx6000-ada": _gpu("RTX 6000 Ada 48GB", 49_140, 960, (8, 9)),
    "a6000": _gpu("RTX A6000 48GB", 49_140, 768, (8, 6)),
    "5090": _gpu("GeForce RTX 5090 32GB", 32_607, 1792, (12, 0)),
    "4090": _gpu("GeForce RTX 4090 24GB", 24_564, 1008, (8, 9)),
    "4080": _gpu("GeForce RTX 4080 16GB", 16_376, 717, (8, 9)),
    "3090": _gpu("GeForce RTX 3090 24GB", 24_576, 936, (8, 6)),
    "3060": _gpu("GeForce RTX 3060 12GB", 12_288, 360, (8, 6)),
    "t4": _gpu("T4 16GB", 15_360, 320, (7, 5)),
    "v100-32": _gpu("V100 32GB", 32_768, 900, (7, 0)),
    "mi300x": _gpu("Instinct MI300X 192GB", 196_592, 5300, None, "amd"),
    "mi325x": _gpu("Instinct MI325X 256GB", 262_128, 6000, None, "amd"),
}
"""GPUs to plan for: memory as the driver reports it, bandwidth by the makers' data sheets (public figures)."""

_BANDWIDTH_BY_NAME = (
    ("B200", 8000),
    ("GH200", 4000),
    ("H200", 4800),
    ("H100 PCIe", 2000),
    ("H100", 3350),
    ("A100-SXM4-80GB", 2039),
    ("A100 80GB PCIe", 1935),
    ("A100", 1555),
    ("L40S", 864),
    ("L4", 300),
    ("A10G", 600),
    ("A10", 600),
    ("RTX 6000 Ada", 960),
    ("RTX A6000", 768),
    ("RTX 5090", 1792),
    ("RTX 4090", 1008),
    ("RTX 4080", 717),
    ("RTX 3090 Ti", 1008),
    ("RTX 3090", 936),
    ("RTX 3060", 360),
    ("Tesla T4", 320),
    ("V100", 900),
    ("GB10", 273),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What a model is planned for."""

    name: str
    gpus: tuple[Gpu, ...]
    ram: int
    """Bytes of main memory that programs can have: what is there, or the container's limit."""
    cores: int
    cpu: str | None = None
    gpu_problem: str | None = None
    """Why there is no GPU, when one was looked for."""
    ram_used: int = 0
    """Bytes of main memory that were not available when it was looked at."""

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Machine:
        """The machine a snapshot was taken of; MIG devices count as GPUs in place of the one they are part of."""
        memory = snapshot.memory
        ram = memory.total if memory.limit is None else min(memory.total, memory.limit)
        gpus = tuple(gpu for state in snapshot.gpus for gpu in _of_state(state, ram))
        cores = snapshot.cpu.physical or snapshot.cpu.logical or 1
        hidden = sum(state.hidden for state in snapshot.gpus)
        problem = snapshot.gpu_problem or (f"CUDA_VISIBLE_DEVICES hides {hidden} of {len(snapshot.gpus)}" if hidden and not gpus else None)
        return cls(snapshot.host or "this machine", gpus, ram, cores, snapshot.cpu.name, problem, ram - memory.usable)

    @classmethod
    def here(cls) -> Machine:
        """This machine, looked at now."""
        from core.hardware.live.probe import MachineProbe

        probe = MachineProbe(folders={})
        try:
            return cls.from_snapshot(probe.snapshot(0.0))
        finally:
            probe.close()

    def with_gpus(self, name: str, count: int = 1) -> Machine:
        """This machine as it would be with `count` GPUs of the table. Raises RequestError: no such GPU in the table, or a count below 1."""
        gpu = named_gpu(name)
        if count < 1:
            raise RequestError(f"{count} GPUs is invalid: give at least 1")
        return replace(self, name=f"{count} x {gpu.name}", gpus=(gpu,) * count, gpu_problem=None)

    def to_json(self) -> dict[str, object]:
        """Plain values for a JSON document."""
        plain = asdict(self)
        plain["gpus"] = [asdict(gpu) | {"fp8": gpu.fp8, "int8": gpu.int8, "bf16": gpu.bf16} for gpu in self.gpus]
        return plain


def named_gpu(name: str) -> Gpu:
    """A GPU of the table. Raises RequestError: there is none of that name."""
    key = name.strip().lower().replace(" ", "-").replace("_", "-")
    if key not in NAMED:
        raise RequestError(f"unknown GPU {name[:40]!r}: choose one of {', '.join(NAMED)}")
    return NAMED[key]


def _of_state(state: GpuState, ram: int) -> Iterable[Gpu]:
    if state.problem is not None or state.hidden:
        return
    capability = state.compute_capability
    if state.unified_memory:
        yield Gpu(state.name or f"GPU {state.index}", min(state.memory.total or ram, ram), bandwidth_of(state.name), capability, unified=True)
    elif state.mig:
        for mig in state.mig:
            if mig.memory.total is not None and not mig.hidden:
                yield Gpu(
                    mig.name or f"MIG {mig.index}",
                    mig.memory.total - (mig.memory.reserved or 0),
                    None,
                    capability,
                    mig=True,
                    used=mig.memory.used or 0,
                )
    elif state.memory.total is not None:
        memory = state.memory.total - (state.memory.reserved or 0)
        yield Gpu(state.name or f"GPU {state.index}", memory, bandwidth_of(state.name), capability, used=state.memory.used or 0)


def bandwidth_of(name: str | None) -> float | None:
    """Bytes per second by the maker's data sheet, for the names that the driver gives; None for a GPU that is not in the table."""
    return next((figure * 1e9 for part, figure in _BANDWIDTH_BY_NAME if name is not None and part in name), None)
