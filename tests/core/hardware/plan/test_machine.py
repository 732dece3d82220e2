"""A machine to plan for, from a snapshot or by name."""

from __future__ import annotations

import json
from dataclasses import replace

import psutil
import pytest

from core.errors import RequestError
from core.hardware.live.probe import MachineProbe
from core.hardware.plan.machine import NAMED, Gpu, Machine, bandwidth_of, named_gpu
from core.hardware.snapshot import GIBIBYTE
from tests.core.hardware.fake_machines import MIB, NO_PERMISSION, NOT_SUPPORTED, FakeGpu
from tests.core.hardware.fake_nvml import FakeNvml
from tests.core.hardware.fake_probe import FakeProbe


def of(shape: str) -> Machine:
    return Machine.from_snapshot(FakeProbe(shape).snapshot(0.0))


def test_gpus_without_the_driver_s_reserve() -> None:
    machine = of("eight")
    assert len(machine.gpus) == 8
    assert machine.gpus[0].memory == (81559 - 551) * MIB
    assert machine.gpus[0].bandwidth == 3350e9
    assert (machine.gpus[0].used, machine.gpus[7].used) == (71_204 * MIB, 3 * MIB)
    assert machine.ram_used == 21 * GIBIBYTE
    assert machine.gpus[0].fp8
    assert machine.ram == 64 * GIBIBYTE


def test_mig_devices_stand_for_their_gpu() -> None:
    machine = of("mig")
    assert [gpu.memory for gpu in machine.gpus] == [(20_096 - 21) * MIB, (9_984 - 13) * MIB, (4_864 - 6) * MIB]
    assert all(gpu.mig and gpu.compute_capability == (8, 0) for gpu in machine.gpus)


def test_a_gpu_in_the_host_s_memory() -> None:
    (gpu,) = of("unified").gpus
    assert gpu.unified
    assert gpu.memory == 64 * GIBIBYTE


def test_a_lost_gpu_is_not_planned_for() -> None:
    probe = FakeProbe("lost")
    probe.nvml.lose(1)
    assert len(Machine.from_snapshot(probe.snapshot(0.0)).gpus) == 1


def test_a_container_s_limit_counts() -> None:
    snapshot = FakeProbe("none").snapshot(0.0)
    limited = replace(snapshot, memory=replace(snapshot.memory, limit=4 * GIBIBYTE, limit_used=0))
    assert Machine.from_snapshot(limited).ram == 4 * GIBIBYTE
    assert Machine.from_snapshot(snapshot).gpu_problem is not None


def test_this_machine() -> None:
    machine = Machine.here()
    assert machine.ram <= psutil.virtual_memory().total
    assert machine.cores >= 1


@pytest.mark.parametrize(
    ("name", "fp8", "int8", "bf16"),
    [
        ("h100", True, True, True),
        ("a100-80", False, True, True),
        ("t4", False, True, False),
        ("v100-32", False, False, False),
        ("l4", True, True, True),
        ("b200", True, False, True),
        ("mi300x", True, False, True),
        ("3090", False, True, True),
    ],
)
def test_arithmetic_by_generation(name: str, fp8: bool, int8: bool, bf16: bool) -> None:
    gpu = NAMED[name]
    assert (gpu.fp8, gpu.int8, gpu.bf16) == (fp8, int8, bf16)


def test_names_are_found_as_people_write_them() -> None:
    assert named_gpu("A100-80") is named_gpu(" a100_80 ")
    with pytest.raises(RequestError, match="choose one of"):
        named_gpu("h9000")
    with pytest.raises(RequestError, match="at least 1"):
        of("none").with_gpus("h100", 0)


def test_bandwidth_by_the_driver_s_names() -> None:
    assert bandwidth_of("NVIDIA H100 80GB HBM3") == 3350e9
    assert bandwidth_of("NVIDIA H100 PCIe") == 2000e9
    assert bandwidth_of("NVIDIA GH200 480GB") == 4000e9
    assert bandwidth_of("NVIDIA L40S") == 864e9
    assert bandwidth_of("NVIDIA L4") == 300e9
    assert bandwidth_of("NVIDIA GeForce GTX 1080") is None
    assert bandwidth_of(None) is None


def test_a_machine_is_a_json_document() -> None:
    document = json.loads(json.dumps(of("eight").to_json()))
    assert document["gpus"][0]["fp8"] is True


def planned(*gpus: FakeGpu) -> tuple[Gpu, ...]:
    return Machine.from_snapshot(MachineProbe(library=FakeNvml(list(gpus)), folders={}).snapshot(0.0)).gpus


RAM = psutil.virtual_memory().total


@pytest.mark.parametrize("memory", [NOT_SUPPORTED, NO_PERMISSION, (0, 0, 0), (RAM, RAM // 3, 0), (2 * RAM, 5, 0)])
@pytest.mark.parametrize(
    ("name", "capability"), [("NVIDIA GB10", (12, 1)), ("Orin (nvgpu)", (8, 7)), ("NVIDIA Thor", (11, 0)), ("Xavier", NOT_SUPPORTED)]
)
def test_a_gpu_in_the_host_s_memory_is_one_whatever_its_driver_answers(name: str, capability: object, memory: object) -> None:
    (gpu,) = planned(FakeGpu(name, "GPU-a", "0000:01:00.0", memory, capability))  # type: ignore[arg-type]
    assert gpu.unified
    assert 0 < gpu.memory <= RAM


@pytest.mark.parametrize("name", ["NVIDIA A100-SXM4-80GB", "NVIDIA H100 PCIe", "NVIDIA L4", "Tesla T4", "GRID RTX6000-24Q", "NVIDIA GH200 480GB"])
@pytest.mark.parametrize("mode", [NOT_SUPPORTED, NO_PERMISSION])
def test_a_gpu_that_hides_its_own_memory_is_not_planned_for(name: str, mode: object) -> None:
    capability = {"A100": (8, 0), "H100": (9, 0), "GH200": (9, 0), "L4": (8, 9)}.get(name.split()[-1].split("-")[0], (7, 5))
    assert planned(FakeGpu(name, "GPU-a", "0000:01:00.0", NOT_SUPPORTED, capability, mig_mode=mode)) == ()
    assert planned(FakeGpu(name, "GPU-a", "0000:01:00.0", NOT_SUPPORTED, NOT_SUPPORTED, mig_mode=mode)) == ()  # type: ignore[arg-type]


def test_a_hidden_gpu_is_not_planned_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [FakeGpu(f"NVIDIA L{index}", f"GPU-{index}", f"0000:0{index}:00.0", (1000 + index, 0, 0), (8, 9)) for index in range(3)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert [gpu.memory for gpu in planned(*gpus)] == [1000, 1002]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    machine = Machine.from_snapshot(MachineProbe(library=FakeNvml(gpus), folders={}).snapshot(0.0))
    assert machine.gpus == ()
    assert machine.gpu_problem == "CUDA_VISIBLE_DEVICES hides 3 of 3"
