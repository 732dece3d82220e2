"""Whether a quantization fits the model and the machine, told before anything starts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil

from core.errors import LlmoptError
from core.hardware.snapshot import GpuState
from core.models.card import ModelCard
from core.models.source import ModelSource, require_folder
from core.quantize.check import FitCheck, check
from core.quantize.spec import QuantizeSpec
from core.runs.state.home import runs_folder
from tui.experiment.fit import NOT_HERE, Fit, must_be_fetched
from tui.quantize.setup import fp8_units
from tui.services.services import Models
from tui.widgets import words


def probe(models: Models, spec: QuantizeSpec, gpus: Sequence[GpuState] | None = None) -> Fit:
    """Read the model's card and check the request against it. Touches the disk: call it off the event loop."""
    if must_be_fetched(spec.model):
        return NOT_HERE
    free = psutil.virtual_memory().available
    try:
        card = require_card(models.resolve(spec.model))
        found = check(spec, card, memory_available=free, disk_free=_disk_free(spec))
    except LlmoptError as error:
        return Fit(refusal=str(error))
    units = (("FP8", fp8_units.sentence(spec, gpus, cpu_only=fp8_units.torch_is_cpu_only())),) if spec.method == "fp8" else ()
    return Fit(lines=(*lines(found, free), *units), warnings=found.warnings)


def require_card(source: ModelSource) -> ModelCard:
    """The card of a model that has the files a quantization needs. Raises RequestError for a GGUF file."""
    require_folder(source)
    return source.card()


def lines(found: FitCheck, memory_free: int) -> tuple[tuple[str, str], ...]:
    """What is foreseen, in words."""
    return (
        ("estimate", f"checkpoint {words.size(found.bytes_after)} from {words.size(found.bytes_before)}"),
        ("", f"{words.figure(found.bits_per_weight, 3)} bits a weight, {found.linears} linears quantized"),
        ("", f"{words.size(found.peak_memory_bytes)} peak memory, {words.size(memory_free)} free"),
    )


def _disk_free(spec: QuantizeSpec) -> int | None:
    """Bytes free where the checkpoint will stand."""
    folder = Path(spec.out).expanduser().absolute() if spec.out else runs_folder()
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    try:
        return None if existing is None else shutil.disk_usage(existing).free
    except OSError:
        return None
