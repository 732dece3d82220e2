"""What finished runs measured, read from their result.json. Other versions' results are read as far as they go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from core.errors import LlmoptError
from core.models.card import ModelCard
from core.quantize.check import check
from core.quantize.spec import QuantizeSpec
from core.runs.state.events import Artifact
from core.runs.state.store import Run
from core.sanitize import clean
from tui.runs.recipe import recipe
from tui.widgets import words

_COMPARABLE = ("sha256", "context", "stride", "scoring", "bos")
"""Parts of the convention that must agree before two perplexities may be compared."""


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
    model: str
    values: Mapping[str, Any]
    metrics: Mapping[str, Any]
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str = ""
    """Path as the run told it; sanitize before showing."""
    notes: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    error_of: str = ""
    """What the errors of the layers compare: outputs or weights."""
    predicted_kl: float | None = None
    """Of a mixed quantization: sum of what its linears cost alone, on calibration text."""
    estimated_memory: int | None = None
    """Bytes at the peak, as they were foreseen; None when the model is gone."""

    @property
    def recipe(self) -> str:
        """What was asked, in a few words."""
        return recipe(self.values)

    @property
    def convention(self) -> tuple[Any, ...] | None:
        """What must be equal for figures to be comparable; None when nothing was measured."""
        return tuple(str(self.evaluation.get(name)) for name in _COMPARABLE) if self.evaluation else None

    @property
    def is_mixed(self) -> bool:
        """Whether its linears got different widths."""
        return len({round(layer.bits) for layer in self.layers if layer.bits is not None}) > 1

    def number(self, name: str) -> float | None:
        """A measured figure, None where there is none."""
        return words.number(self.metrics.get(name))


def read(run: Run) -> Outcome | None:
    """The outcome of a run, None while it has none."""
    result = run.result
    if result is None or not isinstance(result.get("metrics"), dict):
        return None
    evaluation = result.get("evaluation")
    return Outcome(
        run_id=run.id,
        model=str(run.values.get("model", "")),
        values=run.values,
        metrics=result["metrics"],
        evaluation=evaluation if isinstance(evaluation, dict) else {},
        checkpoint=_checkpoint(run, result),
        layers=tuple(_layer(each, run.values, _widths(result)) for each in _texts(result.get("layers")) if isinstance(each, dict)),
        predicted_kl=words.number(_mixed(result).get("predicted_kl")),
        error_of=clean(str(result.get("error_of", "")), limit=20),
        notes=tuple(clean(str(note)) for key in ("warnings", "notes") for note in _texts(result.get(key))),
    )


def of_model(runs: Iterable[Run], model: str, card: ModelCard | None = None) -> list[Outcome]:
    """Outcomes of the quantizations of a model, newest first; with its card the estimates stand beside what was measured."""
    wanted = (run for run in runs if run.capability == "quantize" and run.values.get("model") == model)
    found = [outcome for run in wanted if (outcome := read(run)) is not None]
    return found if card is None else [replace(outcome, estimated_memory=_estimate(outcome, card)) for outcome in found]


def _estimate(outcome: Outcome, card: ModelCard) -> int | None:
    try:
        spec = QuantizeSpec.model_validate({**outcome.values, "out": None})
        return check(spec, card).peak_memory_bytes
    except (LlmoptError, ValidationError):
        return None


def _mixed(result: Mapping[str, Any]) -> Mapping[str, Any]:
    mixed = result.get("mixed")
    return mixed if isinstance(mixed, dict) else {}


def _widths(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Bits by linear that a mixed quantization chose."""
    widths = _mixed(result).get("widths")
    return widths if isinstance(widths, dict) else {}


def _layer(found: Mapping[str, Any], values: Mapping[str, Any], widths: Mapping[str, Any]) -> Layer:
    name = str(found.get("name", ""))
    return Layer(name, words.number(found.get("error")), words.number(found.get("bits")) or words.number(widths.get(name)) or _width(found, values))


def _width(found: Mapping[str, Any], values: Mapping[str, Any]) -> float | None:
    """Bits of a packed weight in results that do not state them: what is left of the bytes without scales of 16 bits and zero points."""
    rows, columns, size = (words.number(found.get(name)) for name in ("rows", "columns", "bytes"))
    if not rows or not columns or size is None:
        return None
    shared = words.number(values.get("group_size")) if values.get("granularity") == "group" else columns
    if not shared or values.get("method") not in ("rtn", "gptq", "awq", "qat", "mixed"):
        return 8 * size / (rows * columns)
    zeros = 0.0 if values.get("symmetric", True) else 1 / shared
    return (8 * size / (rows * columns) - 16 / shared) / (1 + zeros)


def _checkpoint(run: Run, result: Mapping[str, Any]) -> str:
    told = next((result[key] for key in ("checkpoint", "artifact", "path", "out") if isinstance(result.get(key), str)), None)
    if told is not None:
        return str(told)
    return next((event.path for event in reversed(run.events) if isinstance(event, Artifact) and event.kind == "checkpoint"), "")


def _texts(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
