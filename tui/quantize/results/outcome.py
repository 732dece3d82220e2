"""What finished quantizations of a model measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from core.errors import LlmoptError
from core.evaluate.comparable import convention_key
from core.models.card import ModelCard
from core.quantize.check import check
from core.quantize.result import LayerFigures, QuantizeMetrics, QuantizeResult
from core.quantize.spec import QuantizeSpec
from core.runs.state.store import Run
from core.spec import Values
from tui.experiment.finished import runs_of_model


@dataclass(frozen=True)
class Layer:
    """One linear of a finished quantization."""

    name: str
    """As the checkpoint calls it; sanitize before showing."""
    error: float | None
    bits: float | None
    """Of a weight, scales and zero points left out."""


@dataclass(frozen=True)
class Outcome:
    """One finished quantization."""

    run_id: str
    recipe: str
    """What was asked, in a few words."""
    values: Values
    result: QuantizeResult
    estimated_memory: int | None = None
    """Bytes at the peak, as they were predicted; None when the model is gone."""

    @property
    def metrics(self) -> QuantizeMetrics:
        return self.result.metrics

    @property
    def out(self) -> str:
        return self.result.out

    @property
    def convention(self) -> tuple[object, ...] | None:
        """What must be equal for figures to be comparable; None when nothing was measured."""
        found = self.result.evaluation
        return None if found is None else convention_key(found)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every linear with its width."""
        widths = self.result.mixed.widths if self.result.mixed else {}
        return tuple(Layer(each.name, each.error, each.bits or widths.get(each.name) or _width(each, self.result)) for each in self.result.layers)

    @property
    def is_mixed(self) -> bool:
        """Whether its linears got different widths."""
        return len({round(layer.bits) for layer in self.layers if layer.bits is not None}) > 1


def read(run: Run, card: ModelCard | None = None) -> Outcome | None:
    """The outcome of a run, None while it has none."""
    result = run.result_as(QuantizeResult)
    return None if result is None else Outcome(run.id, run.summary, run.values, result, None if card is None else _estimate(run, card))


def of_model(runs: Iterable[Run], model: str, card: ModelCard | None = None) -> list[Outcome]:
    """Outcomes of the quantizations of a model, newest first; with its card the estimates stand next to what was measured."""
    return [found for run in runs_of_model(runs, QuantizeSpec.capability, model) if (found := read(run, card)) is not None]


def _estimate(run: Run, card: ModelCard) -> int | None:
    try:
        return check(QuantizeSpec.model_validate({**run.values, "out": None}), card).peak_memory_bytes
    except (LlmoptError, ValidationError):
        return None


def _width(layer: LayerFigures, result: QuantizeResult) -> float | None:
    """Bits of a packed weight in results that do not state them: what is left of the bytes without scales of 16 bits and zero points."""
    weights = layer.rows * layer.columns
    shared = result.group_size if result.granularity == "group" else layer.columns
    if not weights or not shared:
        return None
    if result.method not in ("rtn", "gptq", "awq", "qat", "mixed"):
        return 8 * layer.bytes / weights
    zeros = 0.0 if result.symmetric else 1 / shared
    return (8 * layer.bytes / weights - 16 / shared) / (1 + zeros)
