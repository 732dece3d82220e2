"""The real pynvml over a C library that is made here: every error code, at every function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pynvml
import pytest

from core.hardware.live.probe import GpuProbe

CODES = sorted(value for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_"))


class CLibrary:
    """Answers `code` to everything but what opens a session with two GPUs."""

    def __init__(self, code: int) -> None:
        self.code = code

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in {"nvmlInitWithFlags", "nvmlShutdown"}:
            return lambda *_: 0
        if name == "nvmlDeviceGetCount_v2":
            return self._count
        if name == "nvmlDeviceGetHandleByIndex_v2":
            return lambda *_: 0
        if name == "nvmlErrorString":

            def text(*_: Any) -> bytes:
                return b"some error"

            return text
        return lambda *_: self.code

    def _count(self, reference: Any) -> int:
        reference._obj.value = 2
        return 0


@pytest.fixture(autouse=True)
def _own_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    yield
    pynvml._nvmlGetFunctionPointer_cache.clear()


@pytest.mark.parametrize("code", CODES)
def test_whatever_the_driver_answers_there_are_two_rows_or_a_sentence(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlLib", CLibrary(code))
    probe = GpuProbe(pynvml, unread=tuple)
    for moment in (0.0, 1.0):
        gpus, processes, _, problem = probe.read(moment)
        assert problem or len(gpus) == 2
        assert processes == []
        lost = code in {pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED, pynvml.NVML_ERROR_GPU_NOT_FOUND}
        for gpu in gpus:
            assert (gpu.problem is not None) == lost
            assert gpu.utilization is None


def test_success_with_empty_structs_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlLib", CLibrary(0))
    gpus, _, _, problem = GpuProbe(pynvml, unread=tuple).read(0.0)
    assert problem is None
    assert len(gpus) == 2
    assert gpus[0].memory.total is None, "a GPU of 0 bytes is a figure that is not available"


def test_this_machine_is_read_without_a_crash() -> None:
    probe = GpuProbe()
    gpus, _, _, problem = probe.read(0.0)
    assert gpus or problem
    probe.close()
