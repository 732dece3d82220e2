"""GPUs as data, after what nvidia-smi and NVML's documentation show for them; none is a person's machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pynvml

MIB = 1 << 20


@dataclass(frozen=True)
class Refusal:
    """In place of a value: the driver answers with this error."""

    code: int


NOT_SUPPORTED = Refusal(pynvml.NVML_ERROR_NOT_SUPPORTED)
NO_PERMISSION = Refusal(pynvml.NVML_ERROR_NO_PERMISSION)


@dataclass(frozen=True)
class FakeProcess:
    """A process as the driver lists it, and what /proc says of it."""

    pid: int
    memory: int | None
    kind: str = "compute"
    owner: str = "ada"
    command: str = "python train.py"
    instance: tuple[int, int] | None = None
    started: float = 1_760_000_000.0
    run: str | None = None


@dataclass(frozen=True)
class FakeMig:
    """A slice of a GPU."""

    name: str
    uuid: str
    gpu_instance: int
    compute_instance: int
    total: int
    used: int
    reserved: int = 0


@dataclass
class FakeGpu:
    """One GPU; a `Refusal` in place of a value is raised."""

    name: str
    uuid: str
    bus_id: str
    memory: Any  # (total, used, reserved) or Refusal
    capability: tuple[int, int]
    utilization: Any = (0, 0)
    power: Any = 30_000
    power_limit: Any = 300_000
    energy: Any = 1_000_000
    temperature: Any = 35
    temperature_memory: Any = NOT_SUPPORTED
    slowdown: Any = 92
    fan: Any = NOT_SUPPORTED
    clocks: Any = (210, 405)
    max_clocks: Any = (1980, 2619)
    performance: Any = 8
    pcie: Any = (1, 4, 16, 16)  # generation, its maximum, width, its maximum
    pcie_rate: Any = (12, 340)  # KiB/s from and to the GPU
    pcie_counters: Any = NOT_SUPPORTED
    replays: Any = 0
    links: int = 0
    link_speed: int = 26_562
    nvlink_counters: list[int] = field(default_factory=lambda: [0, 0])
    ecc: Any = NOT_SUPPORTED  # (enabled, {(error type, counter type): count})
    reasons: Any = 0x1
    compute_mode: Any = pynvml.NVML_COMPUTEMODE_DEFAULT
    persistence: Any = 1
    virtualization: Any = pynvml.NVML_GPU_VIRTUALIZATION_MODE_NONE
    mig_mode: Any = NOT_SUPPORTED  # (current, pending)
    mig: tuple[FakeMig, ...] = ()
    processes: Any = ()
    lost: bool = False


@dataclass(frozen=True)
class Handle:
    """Opaque, as NVML's."""

    gpu: int
    mig: int | None = None


def _one() -> list[FakeGpu]:
    """A workstation: GeForce without ECC, NVLink or MIG, a desktop on it."""
    return [
        FakeGpu(
            name="NVIDIA GeForce RTX 4090",
            uuid="GPU-3f1c6a0e-11d2-4c9b-9a55-0c2b7f6d4e10",
            bus_id="00000000:01:00.0",
            memory=(24564 * MIB, 9212 * MIB, 521 * MIB),
            capability=(8, 9),
            utilization=(87, 41),
            power=312_450,
            power_limit=450_000,
            temperature=67,
            slowdown=100,
            fan=45,
            clocks=(2730, 10251),
            max_clocks=(3105, 10501),
            performance=2,
            pcie=(4, 4, 16, 16),
            pcie_rate=(152_300, 1_048_576),
            reasons=0x4,
            persistence=0,
            processes=(
                FakeProcess(2101, 412 * MIB, "graphics", "ada", "/usr/lib/xorg/Xorg -core :0"),
                FakeProcess(
                    48213,
                    8514 * MIB,
                    "compute",
                    "ada",
                    "python -m core.runs.worker 20261122-031500-quantize-a1b2",
                    run="20261122-031500-quantize-a1b2",
                ),
            ),
        )
    ]


def _eight() -> list[FakeGpu]:
    """A server: eight H100 over NVLink, ECC, no fans of their own."""
    gpus = []
    for index in range(8):
        busy = index < 6
        gpus.append(
            FakeGpu(
                name="NVIDIA H100 80GB HBM3",
                uuid=f"GPU-8e0d17c4-0000-4a7e-b1f0-9c3a55aa010{index}",
                bus_id=f"00000000:{0x19 + 0x11 * index:02X}:00.0",
                memory=(81559 * MIB, (71_204 if busy else 3) * MIB, 551 * MIB),
                capability=(9, 0),
                utilization=(96, 58) if busy else (0, 0),
                power=655_310 if busy else 71_420,
                power_limit=700_000,
                temperature=63 + index if busy else 31,
                temperature_memory=74 + index if busy else 40,
                slowdown=90,
                clocks=(1935, 2619) if busy else (345, 2619),
                performance=0,
                pcie=(5, 5, 16, 16),
                pcie_counters=[40_000_000_000, 90_000_000_000],
                replays=2 if index == 3 else 0,
                links=18,
                nvlink_counters=[1_000_000, 2_000_000],
                ecc=(True, {(0, 0): 3 if index == 3 else 0, (1, 0): 0, (0, 1): 12 if index == 3 else 0, (1, 1): 1 if index == 3 else 0}),
                reasons=0x4 if busy else 0x1,
                mig_mode=(0, 0),
                processes=(FakeProcess(70_000 + index, 71_180 * MIB, "compute", "serve", f"VLLM::Worker_TP{index}"),) if busy else (),
            )
        )
    return gpus


def _mig() -> list[FakeGpu]:
    """An A100 cut into three slices: the whole GPU's utilization is refused, its memory is not."""
    slices = (
        FakeMig("NVIDIA A100-SXM4-40GB MIG 3g.20gb", "MIG-4b1f8a52-5a64-5e0c-9c39-4f2f5c1c0001", 1, 0, 20_096 * MIB, 11_403 * MIB, 21 * MIB),
        FakeMig("NVIDIA A100-SXM4-40GB MIG 2g.10gb", "MIG-4b1f8a52-5a64-5e0c-9c39-4f2f5c1c0002", 3, 0, 9_984 * MIB, 13 * MIB, 13 * MIB),
        FakeMig("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "MIG-4b1f8a52-5a64-5e0c-9c39-4f2f5c1c0003", 9, 0, 4_864 * MIB, 4_301 * MIB, 6 * MIB),
    )
    return [
        FakeGpu(
            name="NVIDIA A100-SXM4-40GB",
            uuid="GPU-c7d0d8f2-7a1b-4f55-8d53-30c1d9e20001",
            bus_id="00000000:07:00.0",
            memory=(40_960 * MIB, 15_717 * MIB, 565 * MIB),
            capability=(8, 0),
            utilization=NOT_SUPPORTED,
            power=143_210,
            power_limit=400_000,
            temperature=44,
            temperature_memory=52,
            clocks=(1095, 1215),
            max_clocks=(1410, 1215),
            performance=0,
            pcie=(4, 4, 16, 16),
            pcie_rate=NOT_SUPPORTED,
            links=12,
            link_speed=25_781,
            ecc=(True, {(0, 0): 0, (1, 0): 0, (0, 1): 0, (1, 1): 0}),
            reasons=0x0,
            mig_mode=(1, 1),
            mig=slices,
            processes=(
                FakeProcess(9001, 11_380 * MIB, command="python serve.py --port 8001", instance=(1, 0)),
                FakeProcess(9044, 4_290 * MIB, owner="bob", command="python embed.py", instance=(9, 0)),
            ),
        )
    ]


def _unified() -> list[FakeGpu]:
    """A GPU in the host's own memory (GB10): no memory figures, no power limit, no fan, no PCIe."""
    return [
        FakeGpu(
            name="NVIDIA GB10",
            uuid="GPU-0b5d2b60-55aa-4c11-8b2f-70b6d7200001",
            bus_id="0000000F:01:00.0",
            memory=NOT_SUPPORTED,
            capability=(12, 1),
            utilization=(34, 0),
            power=28_300,
            power_limit=NOT_SUPPORTED,
            energy=NOT_SUPPORTED,
            temperature=51,
            slowdown=NOT_SUPPORTED,
            clocks=(2405, NOT_SUPPORTED),
            max_clocks=(3003, NOT_SUPPORTED),
            performance=0,
            pcie=(1, 1, 1, 1),
            pcie_rate=NOT_SUPPORTED,
            replays=NOT_SUPPORTED,
            reasons=0x0,
            processes=(FakeProcess(5150, None, command="llama-server -m model.gguf -ngl 99"),),
        )
    ]


def _lost() -> list[FakeGpu]:
    """Two L40S; the second is about to fall off the bus: `fake.lose(1)`."""
    return [
        FakeGpu(
            name="NVIDIA L40S",
            uuid=f"GPU-51e2d9aa-9b0c-4a53-9f02-aa77c1dd000{index}",
            bus_id=f"00000000:{0x31 + 0x20 * index:02X}:00.0",
            memory=(46_068 * MIB, 20_110 * MIB, 612 * MIB),
            capability=(8, 9),
            utilization=(71, 30),
            power=248_120,
            power_limit=350_000,
            temperature=58,
            clocks=(2490, 9001),
            max_clocks=(2520, 9001),
            performance=0,
            pcie=(4, 4, 16, 16),
            pcie_rate=(20_480, 81_920),
            ecc=(True, {(0, 0): 0, (1, 0): 0, (0, 1): 0, (1, 1): 0}),
            reasons=0x0,
            processes=(FakeProcess(6000 + index, 20_000 * MIB),),
        )
        for index in range(2)
    ]


def _vgpu() -> list[FakeGpu]:
    """A guest of a hypervisor: most of what concerns the board is refused, and so are other people's processes."""
    return [
        FakeGpu(
            name="GRID A100D-20C",
            uuid="GPU-7a9d4c3e-6f10-11ef-8d2b-0cc47a000001",
            bus_id="00000000:02:00.0",
            memory=(20_475 * MIB, 4_850 * MIB, 0),
            capability=(8, 0),
            utilization=(12, 3),
            power=NOT_SUPPORTED,
            power_limit=NOT_SUPPORTED,
            energy=NOT_SUPPORTED,
            temperature=NOT_SUPPORTED,
            slowdown=NOT_SUPPORTED,
            clocks=(1410, 1512),
            max_clocks=(1410, 1512),
            performance=0,
            pcie=NOT_SUPPORTED,
            pcie_rate=NOT_SUPPORTED,
            replays=NOT_SUPPORTED,
            reasons=NOT_SUPPORTED,
            persistence=NOT_SUPPORTED,
            virtualization=pynvml.NVML_GPU_VIRTUALIZATION_MODE_VGPU,
            processes=NO_PERMISSION,
        )
    ]


SHAPES: dict[str, Callable[[], list[FakeGpu]]] = {"one": _one, "eight": _eight, "mig": _mig, "unified": _unified, "lost": _lost, "vgpu": _vgpu}
"""Machines by name, made anew at each call."""
