"""What a quantization will take, known before anything starts."""

from __future__ import annotations

from collections.abc import Sequence

from core.hardware.snapshot import GpuState
from core.quantize.check import FitCheck
from core.quantize.spec import QuantizeSpec
from tui.experiment.fit import Fit
from tui.quantize.setup import fp8_units
from tui.widgets import words


def foreseen(spec: QuantizeSpec, found: FitCheck, gpus: Sequence[GpuState] | None) -> Fit:
    """Size, memory, and on what the arithmetic runs."""
    units = (("FP8", fp8_units.sentence(spec, gpus, cpu_only=fp8_units.torch_is_cpu_only())),) if spec.method == "fp8" else ()
    return Fit(lines=(*lines(found), *units), warnings=found.warnings)


def lines(found: FitCheck) -> tuple[tuple[str, str], ...]:
    """What is foreseen, in words."""
    return (
        ("estimate", f"checkpoint {words.size(found.bytes_after)} from {words.size(found.bytes_before)}"),
        ("", f"{words.figure(found.bits_per_weight, 3)} bits per weight, {found.linears} linears quantized"),
        ("", f"{words.size(found.peak_memory_bytes)} peak memory, {words.size(found.memory_available)} free"),
    )
