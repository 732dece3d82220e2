"""GPUs that an environment variable hides, as CUDA reads it."""

from __future__ import annotations

import pytest

from core.hardware.live.visible import mark_hidden
from core.hardware.snapshot import GpuState, MigDevice

SLICES = (MigDevice(0, uuid="MIG-aa11", gpu_instance=1, compute_instance=0), MigDevice(1, uuid="MIG-bb22", gpu_instance=2, compute_instance=0))
STATES = (GpuState(0, uuid="GPU-12ab"), GpuState(1, uuid="GPU-12cd"), GpuState(2, uuid="GPU-34ef", mig=SLICES))


@pytest.mark.parametrize(
    ("value", "visible"),
    [
        (None, [0, 1, 2]),
        ("0,1,2", [0, 1, 2]),
        ("1", [1]),
        (" 2 , 0", [0, 2]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0,\u00b2", [0]),
        ("0,-1,1", [0]),
        ("0,7,1", [0]),
        ("1,1", []),
        ("GPU-12cd", [1]),
        ("GPU-34", [2]),
        ("GPU-12", []),
        ("GPU-", []),
        ("GPU-12ab,GPU-34ef", [0, 2]),
        ("MIG-bb22", [2]),
    ],
)
def test_which_gpus_are_left(value: str | None, visible: list[int]) -> None:
    marked = mark_hidden(STATES, {} if value is None else {"CUDA_VISIBLE_DEVICES": value})
    assert [state.index for state in marked if not state.hidden] == visible


@pytest.mark.parametrize(
    ("value", "slices"),
    [("MIG-bb22", [1]), ("MIG-aa11,MIG-bb22", [0, 1]), ("2", [0]), ("MIG-GPU-34ef/2/0", [1]), ("MIG-GPU-34ef/9/0", []), ("0", [])],
)
def test_which_slices_are_left(value: str, slices: list[int]) -> None:
    marked = mark_hidden(STATES, {"CUDA_VISIBLE_DEVICES": value})[2]
    assert [mig.index for mig in marked.mig if not mig.hidden] == slices
