"""A stand-in for pynvml on a machine made of data.

It has pynvml's names, structs, constants and exceptions (test_fake_nvml.py compares them), so that the
code under test cannot tell it from the library. Machines are in fake_machines.py; for screens,
`fake_probe.FakeProbe("eight")` makes the same snapshots on every computer and at every hour.
"""

# ruff: noqa: N802, N803, N815

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pynvml

from tests.core.hardware.fake_machines import NOT_SUPPORTED, SHAPES, FakeGpu, FakeMig, Handle, Refusal

NO_INSTANCE = 0xFFFFFFFF

INIT_ERRORS = {"none": pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "unloaded": pynvml.NVML_ERROR_DRIVER_NOT_LOADED}
"""Machines without a driver, and with one that is not loaded: what nvmlInit answers."""


def fake_nvml(shape: str, **options: Any) -> FakeNvml:
    """The library as it answers on the machine `shape`."""
    return FakeNvml([] if shape in INIT_ERRORS else SHAPES[shape](), init_error=INIT_ERRORS.get(shape), **options)


def _reader(attribute: str) -> Callable[[FakeNvml, Any], Any]:
    def read(self: FakeNvml, handle: Any) -> Any:
        return self._value(handle, attribute)

    return read


class FakeNvml:
    """pynvml, on a machine made of data.

    Args:
        gpus: what is in it; may be changed while the code under test runs.
        init_error: what nvmlInit answers.
        missing: functions that this driver is too old for.
    """

    def __init__(self, gpus: list[FakeGpu], init_error: int | None = None, missing: frozenset[str] = frozenset()) -> None:
        self.gpus = gpus
        self.init_error = init_error
        self.missing = missing
        self.sessions = 0
        self.calls: Counter[str] = Counter()
        self.time = 1_795_000_000_000_000

    def lose(self, index: int) -> None:
        """The GPU falls off the bus."""
        self.gpus[index].lost = True

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("nvml") or not callable(getattr(pynvml, name, None)) or isinstance(getattr(pynvml, name), type):
            return object.__getattribute__(self, name)
        self.calls[name] += 1
        if name in self.missing:
            return _raises(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        try:
            return object.__getattribute__(self, name)
        except AttributeError:
            return _raises(pynvml.NVML_ERROR_NOT_SUPPORTED if self.sessions else pynvml.NVML_ERROR_UNINITIALIZED)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("NVML", "nvml", "c_nvml")):
            return getattr(pynvml, name)
        raise AttributeError(name)

    # the session

    def nvmlInit(self):
        if self.init_error is not None:
            raise pynvml.NVMLError(self.init_error)
        self.sessions += 1

    def nvmlShutdown(self):
        self._session()
        self.sessions -= 1

    def nvmlSystemGetDriverVersion(self):
        self._session()
        return "580.95.05"

    def nvmlSystemGetNVMLVersion(self):
        self._session()
        return "13.580.95.05"

    def nvmlSystemGetCudaDriverVersion_v2(self):
        self._session()
        return 13000

    def nvmlDeviceGetCount(self):
        self._session()
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index):
        self._session()
        if index >= len(self.gpus):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        if self.gpus[index].lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return Handle(index)

    # a GPU or a slice of one

    def nvmlDeviceGetName(self, handle):
        return self._value(handle, "name", of_mig="name")

    def nvmlDeviceGetUUID(self, handle):
        return self._value(handle, "uuid", of_mig="uuid")

    def nvmlDeviceGetPciInfo(self, handle):
        return pynvml.nvmlPciInfo_t(busId=self._value(handle, "bus_id").encode())

    def nvmlDeviceGetMemoryInfo(self, handle, version=None):
        gpu = self._gpu(handle)
        if handle.mig is not None:
            mig = gpu.mig[handle.mig]
            total, used, reserved = mig.total, mig.used, mig.reserved
        else:
            total, used, reserved = _or_raise(gpu.memory)
        if not version:
            return pynvml.c_nvmlMemory_t(total=total, used=used + reserved, free=total - used - reserved)
        assert version == pynvml.nvmlMemory_v2
        return pynvml.c_nvmlMemory_v2_t(version=version, total=total, reserved=reserved, used=used, free=total - used - reserved)

    def nvmlDeviceGetUtilizationRates(self, handle):
        gpu, memory = self._value(handle, "utilization")
        return pynvml.c_nvmlUtilization_t(gpu=gpu, memory=memory)

    nvmlDeviceGetCudaComputeCapability = _reader("capability")
    nvmlDeviceGetPowerUsage = _reader("power")
    nvmlDeviceGetEnforcedPowerLimit = _reader("power_limit")
    nvmlDeviceGetPowerManagementLimit = _reader("power_limit")
    nvmlDeviceGetTotalEnergyConsumption = _reader("energy")
    nvmlDeviceGetFanSpeed = _reader("fan")
    nvmlDeviceGetPerformanceState = _reader("performance")
    nvmlDeviceGetPcieReplayCounter = _reader("replays")
    nvmlDeviceGetCurrentClocksEventReasons = _reader("reasons")
    nvmlDeviceGetCurrentClocksThrottleReasons = _reader("reasons")
    nvmlDeviceGetComputeMode = _reader("compute_mode")
    nvmlDeviceGetPersistenceMode = _reader("persistence")
    nvmlDeviceGetVirtualizationMode = _reader("virtualization")

    def nvmlDeviceGetTemperatureV(self, handle, sensor, version=pynvml.nvmlTemperature_v1):
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return self._value(handle, "temperature")

    def nvmlDeviceGetTemperature(self, handle, sensor):
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return self._value(handle, "temperature")

    def nvmlDeviceGetTemperatureThreshold(self, handle, threshold):
        assert threshold == pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
        return self._value(handle, "slowdown")

    def nvmlDeviceGetClockInfo(self, handle, type):  # noqa: A002
        return _or_raise(self._value(handle, "clocks")[{pynvml.NVML_CLOCK_SM: 0, pynvml.NVML_CLOCK_MEM: 1}[type]])

    def nvmlDeviceGetMaxClockInfo(self, handle, type):  # noqa: A002
        return _or_raise(self._value(handle, "max_clocks")[{pynvml.NVML_CLOCK_SM: 0, pynvml.NVML_CLOCK_MEM: 1}[type]])

    def nvmlDeviceGetCurrPcieLinkGeneration(self, handle):
        return self._value(handle, "pcie")[0]

    def nvmlDeviceGetMaxPcieLinkGeneration(self, handle):
        return self._value(handle, "pcie")[1]

    def nvmlDeviceGetCurrPcieLinkWidth(self, handle):
        return self._value(handle, "pcie")[2]

    def nvmlDeviceGetMaxPcieLinkWidth(self, handle):
        return self._value(handle, "pcie")[3]

    def nvmlDeviceGetPcieThroughput(self, device, counter):
        return self._value(device, "pcie_rate")[{pynvml.NVML_PCIE_UTIL_TX_BYTES: 0, pynvml.NVML_PCIE_UTIL_RX_BYTES: 1}[counter]]

    def nvmlDeviceGetEccMode(self, handle):
        enabled = self._value(handle, "ecc")[0]
        return [int(enabled), int(enabled)]

    def nvmlDeviceGetTotalEccErrors(self, handle, errorType, counterType):
        return self._value(handle, "ecc")[1][(errorType, counterType)]

    def nvmlDeviceGetNvLinkState(self, device, link):
        if link >= self._gpu(device).links:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return 1

    def nvmlDeviceGetMigMode(self, device):
        return list(self._value(device, "mig_mode"))

    def nvmlDeviceGetMaxMigDeviceCount(self, device):
        return 7 if self._gpu(device).mig_mode != NOT_SUPPORTED else 0

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device, index):
        if index >= len(self._gpu(device).mig):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return Handle(device.gpu, index)

    def nvmlDeviceGetGpuInstanceId(self, device):
        return self._slice(device).gpu_instance

    def nvmlDeviceGetComputeInstanceId(self, device):
        return self._slice(device).compute_instance

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return self._processes(handle, "compute")

    def nvmlDeviceGetComputeRunningProcesses_v2(self, handle):
        return self._processes(handle, "compute")

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle):
        return self._processes(handle, "graphics")

    def nvmlDeviceGetFieldValues(self, handle, fieldIds):
        gpu = self._gpu(handle)
        values = (pynvml.c_nvmlFieldValue_t * len(fieldIds))()
        for value, wanted in zip(values, fieldIds, strict=True):
            value.fieldId, value.scopeId = wanted if isinstance(wanted, tuple) else (wanted, 0)
            value.timestamp = self.time
            self._fill(gpu, value)
        return values

    def _fill(self, gpu: FakeGpu, value: Any) -> None:
        narrow, wide = pynvml.NVML_VALUE_TYPE_UNSIGNED_INT, pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
        counters = (None, None) if isinstance(gpu.pcie_counters, Refusal) else gpu.pcie_counters
        table: dict[int, tuple[int, Any]] = {
            pynvml.NVML_FI_DEV_MEMORY_TEMP: (narrow, None if isinstance(gpu.temperature_memory, Refusal) else gpu.temperature_memory),
            pynvml.NVML_FI_DEV_NVLINK_LINK_COUNT: (narrow, gpu.links),
            pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES: (wide, counters[0]),
            pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES: (wide, counters[1]),
        }
        if gpu.links:
            table[pynvml.NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON] = (narrow, gpu.link_speed)
            table[pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX] = (wide, gpu.nvlink_counters[0])
            table[pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX] = (wide, gpu.nvlink_counters[1])
        kind, number = table.get(value.fieldId, (wide, None))
        value.valueType = kind
        if number is None:
            value.nvmlReturn = pynvml.NVML_ERROR_NOT_SUPPORTED
        elif kind == wide:
            value.value.ullVal = number
        else:
            value.value.uiVal = number

    def _processes(self, handle: Handle, kind: str) -> list[Any]:
        gpu = self._gpu(handle)
        wanted = None
        if handle.mig is not None:
            wanted = (gpu.mig[handle.mig].gpu_instance, gpu.mig[handle.mig].compute_instance)
        rows = []
        for process in _or_raise(gpu.processes):
            if process.kind != kind or (wanted is not None and process.instance != wanted):
                continue
            instance = process.instance or (NO_INSTANCE, NO_INSTANCE)
            struct = pynvml.c_nvmlProcessInfo_v3_t(pid=process.pid, gpuInstanceId=instance[0], computeInstanceId=instance[1])
            row = pynvml.nvmlStructToFriendlyObject(struct)
            row.usedGpuMemory = process.memory
            rows.append(row)
        return rows

    def _session(self) -> None:
        if not self.sessions:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)

    def _gpu(self, handle: Handle) -> FakeGpu:
        self._session()
        gpu = self.gpus[handle.gpu]
        if gpu.lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return gpu

    def _slice(self, handle: Handle) -> FakeMig:
        gpu = self._gpu(handle)
        if handle.mig is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return gpu.mig[handle.mig]

    def _value(self, handle: Handle, attribute: str, of_mig: str | None = None) -> Any:
        gpu = self._gpu(handle)
        if handle.mig is None:
            return _or_raise(getattr(gpu, attribute))
        if of_mig is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return getattr(gpu.mig[handle.mig], of_mig)


def _or_raise(value: Any) -> Any:
    if isinstance(value, Refusal):
        raise pynvml.NVMLError(value.code)
    return value


def _raises(code: int) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise pynvml.NVMLError(code)

    return refuse
