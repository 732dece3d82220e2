"""What all finished runs of one model bought and paid: bits per weight against quality, and which of them nothing beats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeGuard

from core.errors import LlmoptError
from core.quantize.naming import scheme_name
from core.quantize.spec import QuantizeSpec
from core.runs.state import store
from core.runs.state.store import Run
from core.sanitize import clean

Size = Literal["bits_per_weight", "bits_per_quantized_weight", "bytes_after"]
Quality = Literal["ppl_ratio", "kl_mean"]

_CONVENTION = ("corpus", "sha256", "context", "stride", "scoring", "bos", "tokens_scored")
_ROW_FIGURES = {"bytes_after": "bytes"}


@dataclass(frozen=True)
class Point:
    """One quantization of the model."""

    run: str
    """Id of the run that made it."""
    title: str
    """Method and grid in short, for example `gptq-w4-g128`."""
    method: str
    size: float
    """By the measure of size that was asked for; smaller is better."""
    quality: float
    """By the measure of quality that was asked for; smaller is better."""
    error: float | None
    """Standard error of the quality, where the run states one."""
    on_frontier: bool = False
    """Whether no other point is smaller and as good, or better and as small."""


@dataclass(frozen=True)
class Pareto:
    """The points of one model that were measured alike, smallest first."""

    model: str
    by_size: Size
    by_quality: Quality
    points: tuple[Point, ...]
    convention: dict[str, object]
    """How the quality of all of these was measured."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""

    @property
    def frontier(self) -> tuple[Point, ...]:
        """The points that nothing beats, smallest first."""
        return tuple(point for point in self.points if point.on_frontier)

    @property
    def dominated(self) -> tuple[Point, ...]:
        """The points that something beats."""
        return tuple(point for point in self.points if not point.on_frontier)

    def to_json(self) -> dict[str, object]:
        """Plain data."""
        return {
            "model": self.model,
            "size": self.by_size,
            "quality": self.by_quality,
            "evaluation": self.convention,
            "points": [asdict(point) for point in self.points],
            "frontier": [point.run for point in self.frontier],
            "notes": list(self.notes),
        }


def pareto(model: str, by_size: Size = "bits_per_weight", by_quality: Quality = "ppl_ratio", runs: Iterable[Run] | None = None) -> Pareto:
    """The points of all finished quantizations and comparisons of a model, each run read once.

    Qualities that were measured on different text, windows or tokens cannot be set beside each other: those of the convention that most
    points share are kept, of equally many those of the newest run.

    Args:
        model: as it was asked for, for example `bundled:base`.
        by_size: figure of the result that tells the size.
        by_quality: figure of the result that tells the quality.
        runs: where to look, newest first; default: all runs.
    """
    found: list[tuple[tuple[Any, ...], Point, dict[str, object]]] = []
    unmeasured = 0
    for run in store.list_runs() if runs is None else runs:
        if run.capability not in {"quantize", "quantize-compare"} or model not in {run.model, run.values.get("model")} or run.state.status != "done":
            continue
        result = run.result or {}
        evaluation = result.get("evaluation")
        points = list(_points(run, result, by_size, by_quality)) if isinstance(evaluation, dict) else []
        unmeasured += not points
        if isinstance(evaluation, dict):
            found += [(tuple(str(evaluation.get(name)) for name in _CONVENTION), point, evaluation) for point in points]
    counts = Counter(key for key, _, _ in found)
    chosen = max(counts, key=lambda key: counts[key], default=None)
    points = [point for key, point, _ in found if key == chosen]
    convention = next((evaluation for key, _, evaluation in found if key == chosen), {})
    return Pareto(
        model=clean(model, limit=200),
        by_size=by_size,
        by_quality=by_quality,
        points=with_frontier(points),
        convention={name: clean(value) if isinstance(value, str) else value for name, value in convention.items()},
        notes=tuple(_notes(unmeasured, len(found) - len(points))),
    )


def with_frontier(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points in order of size, each told whether it is on the frontier."""
    ordered = sorted(points, key=lambda point: (point.size, point.quality))
    marked, best, at = [], float("inf"), float("-inf")
    for point in ordered:
        # Of points that are equal in both, all stand on the frontier.
        beaten = point.quality > best or (point.quality == best and point.size > at)
        if not beaten:
            best, at = point.quality, point.size
        marked.append(Point(**{**asdict(point), "on_frontier": not beaten}))
    return tuple(marked)


def models() -> list[str]:
    """The models of which there are finished quantizations, the one of the newest run first."""
    runs = [run for run in store.list_runs() if run.capability in {"quantize", "quantize-compare"} and run.state.status == "done"]
    return list(dict.fromkeys(run.model for run in runs))


def _points(run: Run, result: dict[str, object], by_size: Size, by_quality: Quality) -> Iterator[Point]:
    rows = result.get("rows")
    if isinstance(rows, list):
        for row in rows:
            if isinstance(row, dict):
                yield from _point(run.id, row, str(row.get("title", "")), row, _ROW_FIGURES.get(by_size, by_size), by_quality)
        return
    metrics = result.get("metrics")
    if isinstance(metrics, dict):
        yield from _point(run.id, result, _title(run, result), metrics, by_size, by_quality)


def _point(run: str, made: dict[str, object], title: str, figures: dict[str, object], by_size: str, by_quality: Quality) -> Iterator[Point]:
    size, quality = figures.get(by_size), figures.get(by_quality)
    if not _is_number(size) or not _is_number(quality):
        return
    error = figures.get("kl_se") if by_quality == "kl_mean" else figures.get("ln_ppl_ratio_se")
    if by_quality == "ppl_ratio" and _is_number(error):
        error *= quality  # of the ratio itself, to first order
    yield Point(run, clean(title, limit=80), clean(str(made.get("method", "")), limit=40), size, quality, error if _is_number(error) else None)


def _title(run: Run, result: dict[str, object]) -> str:
    """By what was asked; a request that this version cannot read is called by its method and its bits."""
    try:
        spec = run.spec
    except LlmoptError:
        spec = None
    if isinstance(spec, QuantizeSpec):
        return scheme_name(spec)
    return f"{result.get('method')}-w{result.get('bits')}"


def _notes(unmeasured: int, otherwise: int) -> Iterator[str]:
    if unmeasured:
        yield f"left out: {unmeasured} finished run{'s' * (unmeasured != 1)} without such a measurement"
    if otherwise:
        yield f"left out: {otherwise} point{'s' * (otherwise != 1)} measured on other text or windows, which cannot be compared"


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
