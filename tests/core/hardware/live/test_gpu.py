"""What is read from each kind of machine, and what is shown when the driver refuses."""

from __future__ import annotations

import time
from dataclasses import replace

import pynvml
import pytest

from core.hardware.live.gpu import THROTTLE_REASONS
from core.hardware.live.probe import GpuProbe
from core.hardware.snapshot import GpuState
from tests.core.hardware.fake_machines import MIB, NO_PERMISSION, NOT_SUPPORTED, FakeGpu, FakeProcess
from tests.core.hardware.fake_nvml import FakeNvml, fake_nvml


def read(library: FakeNvml) -> tuple[GpuState, ...]:
    return GpuProbe(library, unread=tuple).read(0.0)[0]


def test_one_workstation_gpu_is_read_in_full() -> None:
    (gpu,) = read(fake_nvml("one"))
    assert (gpu.name, gpu.bus_id, gpu.compute_capability) == ("NVIDIA GeForce RTX 4090", "00000000:01:00.0", (8, 9))
    assert (gpu.memory.total, gpu.memory.used, gpu.memory.reserved) == (24564 * MIB, 9212 * MIB, 521 * MIB)
    assert gpu.memory.percent == pytest.approx(100 * (9212 + 521) / 24564)
    assert (gpu.utilization, gpu.memory_utilization) == (87.0, 41.0)
    assert (gpu.power, gpu.power_limit) == (pytest.approx(312.45), 450.0)
    assert (gpu.temperature, gpu.temperature_slowdown, gpu.fan) == (67, 100, 45)
    assert (gpu.clocks.sm, gpu.clocks.sm_max, gpu.clocks.memory, gpu.clocks.memory_max) == (2730, 3105, 10251, 10501)
    assert (gpu.pcie.generation, gpu.pcie.max_generation, gpu.pcie.width, gpu.pcie.max_width) == (4, 4, 16, 16)
    assert (gpu.pcie.tx, gpu.pcie.rx) == (152_300 * 1024, 1_048_576 * 1024)
    assert (gpu.throttle, gpu.compute_mode, gpu.performance_state, gpu.persistence) == (("power cap",), "default", "P2", False)


def test_what_a_workstation_gpu_lacks_is_not_available_and_not_zero() -> None:
    (gpu,) = read(fake_nvml("one"))
    assert gpu.ecc.enabled is None
    assert gpu.ecc.corrected_volatile is None
    assert gpu.nvlink is None
    assert gpu.mig_enabled is None
    assert gpu.temperature_memory is None


def test_eight_gpus_with_ecc_counts_and_nvlink() -> None:
    gpus = read(fake_nvml("eight"))
    assert [gpu.index for gpu in gpus] == list(range(8))
    bad = gpus[3].ecc
    assert (bad.corrected_volatile, bad.uncorrected_volatile, bad.corrected_aggregate, bad.uncorrected_aggregate) == (3, 0, 12, 1)
    assert gpus[3].pcie.replays == 2
    assert gpus[0].nvlink is not None
    assert (gpus[0].nvlink.links, gpus[0].nvlink.active, gpus[0].nvlink.speed) == (18, 18, 26_562e6)
    assert gpus[0].fan is None
    assert gpus[0].temperature_memory == 74
    assert gpus[7].throttle == ("idle",)


def test_throughput_comes_from_the_counters_between_two_samples() -> None:
    library = fake_nvml("eight")
    probe = GpuProbe(library, unread=tuple)
    first = probe.read(0.0)[0][0]
    assert first.pcie.tx is None
    assert first.nvlink is not None
    assert first.nvlink.tx is None
    gpu = library.gpus[0]
    gpu.pcie_counters = [gpu.pcie_counters[0] + 3_000, gpu.pcie_counters[1] + 7_000]
    gpu.nvlink_counters = [gpu.nvlink_counters[0] + 10, gpu.nvlink_counters[1] + 20]
    library.time += 2_000_000
    second = probe.read(99.0)[0][0]
    assert (second.pcie.tx, second.pcie.rx) == (1_500.0, 3_500.0)
    assert second.nvlink is not None
    assert (second.nvlink.tx, second.nvlink.rx) == (18 * 10 * 1024 / 2, 18 * 20 * 1024 / 2)
    third = probe.read(99.1)[0][0]
    assert third.pcie.tx == 1_500.0, "the driver has not refreshed its counter: the last rate stands"
    gpu.pcie_counters = [0, 0]
    library.time += 1_000_000
    assert probe.read(100.0)[0][0].pcie.tx is None, "a counter that was set back gives no rate"


def test_a_pcie_counter_that_may_wrap_is_not_trusted() -> None:
    library = fake_nvml("eight")
    library.gpus[0].pcie_counters = [4_000_000_000, 10]
    library.gpus[0].pcie_rate = (5, 6)
    gpu = GpuProbe(library, unread=tuple).read(0.0)[0][0]
    assert (gpu.pcie.tx, gpu.pcie.rx) == (5 * 1024, 6 * 1024)


def test_mig_devices_and_their_processes() -> None:
    states, processes, _, _ = GpuProbe(fake_nvml("mig"), unread=tuple).read(0.0)
    (gpu,) = states
    assert gpu.mig_enabled is True
    assert [(mig.index, mig.gpu_instance, mig.memory.total) for mig in gpu.mig] == [(0, 1, 20_096 * MIB), (1, 3, 9_984 * MIB), (2, 9, 4_864 * MIB)]
    assert gpu.utilization is None, "refused while the GPU is cut up"
    assert {(process.pid, process.mig) for process in processes} == {(9001, 0), (9044, 2)}


def test_unified_memory_has_no_figures_and_says_so() -> None:
    (gpu,) = read(fake_nvml("unified"))
    assert gpu.unified_memory
    assert gpu.memory.total is None
    assert gpu.memory.percent is None
    assert gpu.power == pytest.approx(28.3)
    assert gpu.power_limit is None
    assert gpu.clocks.sm == 2405
    assert gpu.clocks.memory is None


def test_memory_refused_for_want_of_rights_is_not_unified_memory() -> None:
    library = fake_nvml("one")
    library.gpus[0].memory = NO_PERMISSION
    (gpu,) = read(library)
    assert gpu.memory.total is None
    assert not gpu.unified_memory


def test_a_gpu_that_is_cut_up_has_memory_of_its_own_though_it_refuses_the_figure() -> None:
    library = fake_nvml("mig")
    library.gpus[0].memory = NOT_SUPPORTED
    (gpu,) = read(library)
    assert gpu.memory.total is None
    assert not gpu.unified_memory


def test_a_vgpu_guest_shows_what_it_may() -> None:
    states, processes, _, _ = GpuProbe(fake_nvml("vgpu"), unread=tuple).read(0.0)
    (gpu,) = states
    assert gpu.virtualization == "vGPU guest"
    assert gpu.memory.total == 20_475 * MIB
    assert (gpu.temperature, gpu.power, gpu.throttle, gpu.pcie.tx) == (None, None, None, None)
    assert not gpu.processes_listed
    assert processes == []


def test_a_gpu_that_falls_off_the_bus_keeps_its_row_and_names_its_problem() -> None:
    library = fake_nvml("lost")
    probe = GpuProbe(library, unread=tuple)
    before = probe.read(0.0)[0]
    library.lose(1)
    states, processes, driver, problem = probe.read(1.0)
    assert problem is None
    assert driver is not None
    assert states[0].problem is None
    assert states[0].utilization == 71.0
    assert states[1].problem is not None
    assert "fallen off the bus" in states[1].problem
    assert (states[1].name, states[1].uuid, states[1].bus_id) == (before[1].name, before[1].uuid, before[1].bus_id)
    assert (states[1].utilization, states[1].memory.used, states[1].temperature) == (None, None, None)
    assert {process.gpu for process in processes} == {0}


def test_a_lost_gpu_is_left_alone_for_a_while_then_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    library = fake_nvml("lost")
    probe = GpuProbe(library, unread=tuple)
    probe.read(0.0)
    library.lose(0)
    library.lose(1)
    probe.read(1.0)
    library.calls.clear()
    probe.read(2.0)
    assert not library.calls, "each call to a lost GPU may hang"
    library.gpus[0].lost = library.gpus[1].lost = False
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    assert [gpu.problem for gpu in probe.read(3.0)[0]] == [None, None]


def test_a_gpu_that_was_lost_before_the_start_has_a_row_too() -> None:
    library = fake_nvml("lost")
    library.lose(0)
    states = read(library)
    assert states[0].problem is not None
    assert states[0].name is None
    assert states[1].problem is None


def test_without_a_driver_the_reason_is_a_sentence() -> None:
    states, processes, driver, problem = GpuProbe(fake_nvml("none"), unread=tuple).read(0.0)
    assert (states, processes, driver) == ((), [], None)
    assert problem == "no NVIDIA driver library (libnvidia-ml.so.1) on this machine; work runs on the CPU"
    unread = GpuProbe(fake_nvml("none"), unread=lambda: [("NVIDIA", "0000:01:00.0")]).read(0.0)[3]
    assert unread is not None
    assert "0000:01:00.0" in unread
    other = GpuProbe(fake_nvml("none"), unread=lambda: [("AMD", "0000:03:00.0"), ("Intel", "0000:00:02.0")]).read(0.0)[3]
    assert other is not None
    assert "AMD" in other
    loaded = GpuProbe(fake_nvml("unloaded"), unread=tuple).read(0.0)[3]
    assert loaded is not None
    assert "modprobe nvidia" in loaded


def test_a_driver_without_gpus_is_not_a_machine_without_a_driver() -> None:
    states, _, driver, problem = GpuProbe(FakeNvml([]), unread=tuple).read(0.0)
    assert states == ()
    assert driver is not None
    assert problem is not None
    assert "--gpus all" in problem


def test_a_driver_that_is_unloaded_while_running_is_named_and_looked_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    library = fake_nvml("one")
    probe = GpuProbe(library, unread=tuple)
    assert probe.read(0.0)[3] is None
    library.sessions = 0
    assert probe.read(1.0)[3] == "the NVIDIA driver was unloaded"
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    assert probe.read(2.0)[3] is None


def test_versions_of_driver_and_cuda() -> None:
    driver = GpuProbe(fake_nvml("one"), unread=tuple).read(0.0)[2]
    assert driver is not None
    assert (driver.version, driver.cuda, driver.nvml) == ("580.95.05", "13.0", "13.580.95.05")


def test_an_old_driver_is_asked_in_the_old_way() -> None:
    missing = frozenset({"nvmlDeviceGetTemperatureV", "nvmlDeviceGetCurrentClocksEventReasons", "nvmlSystemGetCudaDriverVersion_v2"})
    library = fake_nvml("one", missing=missing)
    (gpu,) = read(library)
    assert gpu.temperature == 67
    assert gpu.throttle == ("power cap",)


def test_the_old_memory_call_counts_the_reserve_as_used() -> None:
    library = fake_nvml("one")

    def only_v1(handle: object, version: int | None = None) -> object:
        if version:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        return pynvml.c_nvmlMemory_t(total=100, used=40, free=60)

    object.__setattr__(library, "nvmlDeviceGetMemoryInfo", only_v1)
    (gpu,) = read(library)
    assert (gpu.memory.total, gpu.memory.used, gpu.memory.reserved) == (100, 40, None)
    assert gpu.memory.percent == 40.0


def test_every_reason_for_lower_clocks_has_words_and_an_unknown_one_its_bits() -> None:
    library = fake_nvml("one")
    library.gpus[0].reasons = sum(THROTTLE_REASONS) | 0x8000
    (gpu,) = read(library)
    assert gpu.throttle == (*THROTTLE_REASONS.values(), "reason 0x8000")


def test_the_words_belong_to_the_bits_of_the_library() -> None:
    assert THROTTLE_REASONS[pynvml.nvmlClocksEventReasonSwPowerCap] == "power cap"
    assert THROTTLE_REASONS[pynvml.nvmlClocksEventReasonHwThermalSlowdown] == "thermal limit (hardware)"
    assert THROTTLE_REASONS[pynvml.nvmlClocksEventReasonSwThermalSlowdown] == "thermal limit (software)"
    assert THROTTLE_REASONS[pynvml.nvmlClocksThrottleReasonReliability] == "reliability limit"


def test_the_driver_s_word_for_no_value_is_not_a_value() -> None:
    library = fake_nvml("one")
    library.gpus[0].fan = 0xFFFFFFFF
    library.gpus[0].energy = 0xFFFFFFFFFFFFFFFF
    (gpu,) = read(library)
    assert gpu.fan is None
    assert gpu.energy is None


def test_a_name_with_escape_sequences_is_cleaned() -> None:
    library = fake_nvml("one")
    library.gpus[0].name = "evil\x1b[2J"
    (gpu,) = read(library)
    assert gpu.name is not None
    assert "\x1b" not in gpu.name


def test_a_process_that_computes_and_draws_is_one_row() -> None:
    library = fake_nvml("one")
    library.gpus[0].processes = (FakeProcess(7, 100), FakeProcess(7, 120, "graphics"), FakeProcess(8, None))
    processes = GpuProbe(library, unread=tuple).read(0.0)[1]
    assert [(process.pid, process.kind, process.memory) for process in processes] == [(7, "compute", 120), (8, "compute", None)]


def test_settings_and_error_counters_are_not_asked_for_at_every_sample() -> None:
    library = fake_nvml("eight")
    probe = GpuProbe(library, unread=tuple)
    probe.read(0.0)
    library.calls.clear()
    probe.read(1.0)
    for slow in ("nvmlDeviceGetTotalEccErrors", "nvmlDeviceGetName", "nvmlDeviceGetMigMode", "nvmlDeviceGetNvLinkState", "nvmlDeviceGetMaxClockInfo"):
        assert library.calls[slow] == 0, slow
    assert library.calls["nvmlDeviceGetUtilizationRates"] == 8


FIELDS = [
    name
    for name in vars(FakeGpu)["__dataclass_fields__"]
    if name not in {"name", "uuid", "bus_id", "links", "link_speed", "nvlink_counters", "mig", "lost"}
]


@pytest.mark.parametrize("shape", ["one", "eight", "mig"])
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("refusal", [NOT_SUPPORTED, NO_PERMISSION])
def test_any_figure_may_be_refused_and_the_rest_still_stands(shape: str, field: str, refusal: object) -> None:
    library = fake_nvml(shape)
    whole = read(fake_nvml(shape))[0]
    setattr(library.gpus[0], field, refusal)
    gpu = read(library)[0]
    assert gpu.problem is None
    assert gpu.name == whole.name
    assert replace(gpu, index=0).uuid == whole.uuid
