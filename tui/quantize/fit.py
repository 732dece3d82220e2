"""Whether the request fits the model and the machine, told before anything starts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from textual.content import Content
from textual.widgets import Static

from core.errors import LlmoptError
from core.hardware.snapshot import GpuState
from core.models.card import ModelCard
from core.models.hub_cache import cached_snapshot, is_model_id, is_offline
from core.models.source import ModelSource, require_folder
from core.quantize.check import FitCheck, check
from core.quantize.spec import QuantizeSpec
from core.runs.home import runs_folder
from core.sanitize import clean
from tui.quantize import fp8_units
from tui.services import Models
from tui.widgets import words
from tui.widgets.hanging import hanging


@dataclass(frozen=True)
class Fit:
    """The verdict: a refusal in one sentence, or the figures that are foreseen."""

    refusal: str = ""
    lines: tuple[tuple[str, str], ...] = ()
    """(name, text)."""
    warnings: tuple[str, ...] = ()


def probe(models: Models, spec: QuantizeSpec, gpus: Sequence[GpuState] | None = None) -> Fit:
    """Read the model's card and check the request against it. Touches the disk: call it off the event loop."""
    if _must_be_fetched(spec.model):
        return Fit(warnings=("the model is not on this machine: the run fetches it first, and nothing can be foreseen before that",))
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


def _must_be_fetched(name: str) -> bool:
    return is_model_id(name) and not Path(name).expanduser().exists() and not is_offline() and cached_snapshot(name) is None


class FitPanel(Static):
    """The verdict below the form."""

    DEFAULT_CSS = """
    FitPanel { height: auto; max-height: 8; border-top: solid $panel; }
    """

    def __init__(self) -> None:
        super().__init__("checking ...", markup=False)
        self._fit: Fit | None = None

    def show(self, fit: Fit) -> None:
        """Another verdict."""
        self._fit = fit
        self._draw()

    def on_resize(self) -> None:
        """Wrap anew."""
        self._draw()

    def _draw(self) -> None:
        fit, width = self._fit, self.size.width or 50
        if fit is None:
            return
        if fit.refusal:
            self.update(Content.styled(f"! {clean(fit.refusal)}", "$text-error"))
            return
        parts = [hanging(fit.lines, width)] if fit.lines else []
        parts += [Content.styled(f"! {clean(text)}", "$text-warning") for text in fit.warnings]
        self.update(Content("\n").join(parts))
