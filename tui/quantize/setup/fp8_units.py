"""Whether FP8 linears are multiplied as such on this machine, or dequantized first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

from core.hardware.snapshot import GpuState
from core.numerics.fp8.units import FP8_CAPABILITY, has_fp8_units
from core.quantize.spec import QuantizeSpec
from core.sanitize import clean

_DEQUANTIZED = "weights are dequantized before each product"


def sentence(spec: QuantizeSpec, gpus: Sequence[GpuState] | None, *, cpu_only: bool = False) -> str:
    """What happens to the linears of a request.

    Args:
        spec: a request for FP8.
        gpus: of this machine; None while they are not known.
        cpu_only: torch was installed without CUDA.
    """
    if spec.granularity == "block" or spec.activation_bits == 16 or spec.fp8_format != "e4m3":
        what = "with block scales" if spec.granularity == "block" else "as E5M2" if spec.fp8_format != "e4m3" else "with 16-bit activations"
        return f"{what} {_DEQUANTIZED}, on any hardware"
    if spec.device == "cpu":
        return f"on the CPU {_DEQUANTIZED}"
    if gpus is None:
        return "hardware not read yet"
    able = [gpu for gpu in gpus if has_fp8_units(gpu.compute_capability)]
    if able and not cpu_only:
        return f"FP8 units of {_name(able[0])} multiply the weights as stored"
    if able:
        return f"{_name(able[0])} has FP8 units, but torch is a CPU-only build: {_DEQUANTIZED}"
    if gpus:
        least = ".".join(map(str, FP8_CAPABILITY))
        return f"{_name(gpus[0])} has no FP8 units (they need compute capability {least}): {_DEQUANTIZED}"
    return f"no GPU here, so no FP8 units: {_DEQUANTIZED}"


def torch_is_cpu_only() -> bool:
    """By the installed package's version; imports nothing."""
    try:
        return metadata.version("torch").endswith("+cpu")
    except metadata.PackageNotFoundError:
        return False


def _name(gpu: GpuState) -> str:
    return clean(gpu.name or f"GPU {gpu.index}", limit=40)
