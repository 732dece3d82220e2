"""The stand-in has pynvml's names and signatures, or the tests that use it would prove nothing."""

from __future__ import annotations

import inspect

import pynvml
import pytest

from tests.core.hardware.fake_machines import SHAPES
from tests.core.hardware.fake_nvml import INIT_ERRORS, FakeNvml, fake_nvml

FAKED = sorted(name for name in vars(FakeNvml) if name.startswith("nvml"))


@pytest.mark.parametrize("name", FAKED)
def test_a_faked_function_is_one_of_pynvml_with_the_same_parameters(name: str) -> None:
    real = list(inspect.signature(getattr(pynvml, name)).parameters.values())
    fake = list(inspect.signature(vars(FakeNvml)[name]).parameters.values())[1:]
    assert len(fake) == len(real)
    assert [parameter.default is inspect.Parameter.empty for parameter in fake] == [
        parameter.default is inspect.Parameter.empty for parameter in real
    ]


def test_what_is_not_faked_is_refused_as_the_driver_refuses_it() -> None:
    library = fake_nvml("one")
    with pytest.raises(pynvml.NVMLError_Uninitialized):
        library.nvmlDeviceGetCount()
    library.nvmlInit()
    with pytest.raises(pynvml.NVMLError_NotSupported):
        library.nvmlDeviceGetEncoderUtilization(library.nvmlDeviceGetHandleByIndex(0))
    with pytest.raises(AttributeError):
        library.nvmlDeviceGetWhatNobodyHas  # noqa: B018


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_memory_adds_up_in_both_versions_of_the_call(shape: str) -> None:
    library = fake_nvml(shape)
    library.nvmlInit()
    for index in range(library.nvmlDeviceGetCount()):
        handle = library.nvmlDeviceGetHandleByIndex(index)
        try:
            new = library.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2)
        except pynvml.NVMLError_NotSupported:
            continue
        old = library.nvmlDeviceGetMemoryInfo(handle)
        assert new.used + new.reserved + new.free == new.total == old.used + old.free == old.total


@pytest.mark.parametrize("shape", sorted(INIT_ERRORS))
def test_a_machine_without_a_driver_fails_at_nvml_init(shape: str) -> None:
    with pytest.raises(pynvml.NVMLError) as error:
        fake_nvml(shape).nvmlInit()
    assert error.value.value == INIT_ERRORS[shape]
