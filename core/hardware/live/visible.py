"""Which GPUs a program that is started from here finds: CUDA_VISIBLE_DEVICES hides the others from it, though the driver reports them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.hardware.snapshot import GpuState

VARIABLE = "CUDA_VISIBLE_DEVICES"
_Slice = int | None
"""Index of a MIG device; None: the whole GPU."""


def mark_hidden(states: Sequence[GpuState], environment: Mapping[str, str]) -> tuple[GpuState, ...]:
    """The states, each GPU and MIG device marked that the variable hides.

    As CUDA reads it: indices, UUIDs or unique beginnings of them, separated by commas. What follows an entry that names no device is not read,
    and a device that is named twice leaves none.
    """
    value = environment.get(VARIABLE)
    if value is None:
        return tuple(states)
    visible: list[tuple[int, _Slice]] = []
    for entry in value.split(","):
        found = _find(entry.strip(), states)
        if found is None:
            break
        visible.append(found)
    if len(set(visible)) < len(visible):
        visible = []
    return tuple(_marked(state, {part for index, part in visible if index == state.index}) for state in states)


def _marked(state: GpuState, parts: set[_Slice]) -> GpuState:
    # A whole GPU that is cut up is its first slice to CUDA.
    seen = {0 if part is None else part for part in parts}
    return replace(state, hidden=not parts, mig=tuple(replace(mig, hidden=mig.index not in seen) for mig in state.mig))


def _find(entry: str, states: Sequence[GpuState]) -> tuple[int, _Slice] | None:
    if entry.isascii() and entry.isdigit():
        return next(((state.index, None) for state in states if state.index == int(entry)), None)
    slices = [(state, mig) for state in states for mig in state.mig]
    if "/" in entry:  # MIG-GPU-uuid/gpu instance/compute instance, before driver 470
        name = entry.removeprefix("MIG-")
        legacy = [(s.index, m.index) for s, m in slices if f"{s.uuid}/{m.gpu_instance}/{m.compute_instance}" == name]
        return legacy[0] if legacy else None
    if len(entry) <= len("GPU-"):
        return None
    named: list[tuple[int, _Slice]] = [(state.index, None) for state in states if (state.uuid or "").startswith(entry)]
    named += [(state.index, mig.index) for state, mig in slices if (mig.uuid or "").startswith(entry)]
    return named[0] if len(named) == 1 else None
