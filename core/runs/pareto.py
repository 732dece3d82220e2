"""What all finished runs of one model bought and paid: size against quality, and which of them nothing beats."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeGuard

from core.evaluate.comparable import convention_key
from core.evaluate.result import Convention
from core.result import Better
from core.runs.compare.noise import NORMAL_95
from core.runs.registry import CAPABILITIES, load
from core.runs.state import store
from core.runs.state.home import check_home
from core.runs.state.store import Run
from core.sanitize import clean

Size = Literal["bits_per_weight", "bits_per_quantized_weight", "bytes_after"]
Quality = Literal["ppl_ratio", "kl_mean"]
_AS_SMALL, _SAME_SIZE = 0.001, 0.01
"""Shares by which sizes differ: of points that are as small as each other, and of two ways to count the bytes of one recipe."""


@dataclass(frozen=True)
class Candidate:
    """One smaller form of a model, as the capability that made it describes it."""

    title: str
    method: str
    figures: Mapping[str, Any]
    """By name: those of `Size` and `Quality`, and `kl_se` and `ln_ppl_ratio_se`, their errors; what was not measured is None or not there."""
    evaluation: Convention | None
    """How the quality was measured."""
    checkpoint: bool = True
    """Whether the run left it on disk; what was only measured is nobody's to use."""


@dataclass(frozen=True)
class Point:
    """One smaller form of the model."""

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
    checkpoint: bool = True
    """Whether the run left it on disk; only such points are on the frontier, and only they beat others."""
    runs: int = 1
    """Measurements of the same recipe in this point."""
    on_frontier: bool = False
    """Whether nothing beats it."""
    capability: str = ""
    """Registry key of the run."""

    def noise(self, other: Point) -> float:
        """How much the qualities of two points differ by chance, at 95 %."""
        return NORMAL_95 * math.hypot(self.error or 0.0, other.error or 0.0)

    def beats(self, other: Point) -> bool:
        """Whether it is as small and better beyond noise, or smaller and measured as good or better."""
        gain = other.quality - self.quality
        smaller = self.size < other.size * (1 - _AS_SMALL)
        return self.checkpoint and ((self.size <= other.size and gain > self.noise(other)) or (smaller and gain >= 0))

    def repeats(self, other: Point) -> bool:
        """Whether both are measurements of one recipe, equal within noise."""
        alike = self.title == other.title and math.isclose(self.size, other.size, rel_tol=_SAME_SIZE)
        return alike and math.isclose(self.quality, other.quality, rel_tol=1e-9, abs_tol=self.noise(other))


@dataclass(frozen=True)
class Pareto:
    """The points of one model that were measured alike, smallest first."""

    model: str
    by_size: Size
    by_quality: Quality
    points: tuple[Point, ...]
    convention: Convention | None
    """How the quality of all of these was measured; None without points."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""

    @property
    def frontier(self) -> tuple[Point, ...]:
        """The points that nothing beats, smallest first."""
        return tuple(point for point in self.points if point.on_frontier)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        stated = {} if self.convention is None else self.convention.model_dump(mode="json")
        return {
            "model": self.model,
            "size": self.by_size,
            "quality": self.by_quality,
            "evaluation": {name: clean(value) if isinstance(value, str) else value for name, value in stated.items()},
            "points": [asdict(point) for point in self.points],
            "frontier": [point.run for point in self.frontier],
            "notes": list(self.notes),
        }


def pareto(model: str, by_size: Size = "bits_per_weight", by_quality: Quality = "ppl_ratio", runs: Iterable[Run] | None = None) -> Pareto:
    """The points of all finished runs that made a model smaller, each run read once.

    Qualities that were measured on different text, windows or tokens cannot be compared: those of the convention that most
    points with a checkpoint share are kept, then that most share, of equally many those of the newest run.

    Args:
        model: as it was asked for, for example `bundled:base`.
        by_size: figure of the result that gives the size.
        by_quality: figure of the result that gives the quality.
        runs: where to look, newest first; default: all runs.

    Raises:
        RequestError: the folder of all runs cannot be read.
    """
    if runs is None:
        check_home()
    found: list[tuple[tuple[str, ...], Point, Convention]] = []
    unmeasured = 0
    for run in store.list_runs() if runs is None else runs:
        if model not in (run.model, run.values.get("model")) or (candidates := _candidates(run)) is None:
            continue
        before = len(found)
        for each in candidates(run):
            point = _point(run, each, by_size, by_quality)
            if point is not None and each.evaluation is not None:
                found.append((convention_key(each.evaluation), point, each.evaluation))
        unmeasured += len(found) == before
    counts = Counter(key for key, _, _ in found)
    kept = Counter(key for key, point, _ in found if point.checkpoint)
    chosen = max(counts, key=lambda key: (kept[key], counts[key]), default=None)
    alike = [point for key, point, _ in found if key == chosen]
    return Pareto(
        model=clean(model, limit=200),
        by_size=by_size,
        by_quality=by_quality,
        points=with_frontier(without_repeats(alike)),
        convention=next((evaluation for key, _, evaluation in found if key == chosen), None),
        notes=tuple(_notes(unmeasured, len(found) - len(alike))),
    )


def with_frontier(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points in order of size, each marked where it is on the frontier."""
    ordered = sorted(points, key=lambda point: (point.size, point.quality))
    return tuple(replace(point, on_frontier=point.checkpoint and not any(other.beats(point) for other in ordered)) for point in ordered)


def without_repeats(points: Sequence[Point]) -> list[Point]:
    """One point for all measurements of a recipe that are equal within noise: that of a run which left a checkpoint, the first of them.

    Args:
        points: the newest first.
    """
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: not point.checkpoint):
        at = next((at for at, other in enumerate(kept) if other.repeats(point)), None)
        if at is None:
            kept.append(point)
        else:
            kept[at] = replace(kept[at], runs=kept[at].runs + 1)
    return kept


def on_front(points: Sequence[tuple[float, float]], better: Better = "lower", tolerance: float = 0.0) -> tuple[bool, ...]:
    """For each (size, quality) whether nothing beats it: no other is as small and better, or smaller and as good. Equals do not beat each other.

    Args:
        points: smaller is better; of the quality, what `better` says.
        better: direction of the quality.
        tolerance: qualities that differ by no more are equal.
    """
    sign = -1 if better == "higher" else 1

    def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
        gain = sign * (other[1] - one[1])
        return (gain > tolerance and one[0] <= other[0]) or (gain >= -tolerance and one[0] < other[0])

    return tuple(not any(beats(other, point) for other in points) for point in points)


def models() -> list[str]:
    """The models that finished runs made smaller, the one of the newest run first."""
    return list(dict.fromkeys(run.model for run in store.list_runs() if _candidates(run) is not None))


def _candidates(run: Run) -> Callable[[Run], Iterable[Candidate]] | None:
    """What finds the candidates of a run; None for a run that is not done, or makes no model smaller."""
    entry = CAPABILITIES.get(run.capability)
    return load(entry.pareto) if entry is not None and entry.pareto and run.state.status == "done" else None


def _point(run: Run, candidate: Candidate, by_size: str, by_quality: str) -> Point | None:
    figures = candidate.figures
    size, quality = figures.get(by_size), figures.get(by_quality)
    if not _is_number(size) or not _is_number(quality):
        return None
    error = figures.get("kl_se") if by_quality == "kl_mean" else figures.get("ln_ppl_ratio_se")
    if by_quality == "ppl_ratio" and _is_number(error):
        error *= quality  # of the ratio itself, to first order
    known = error if _is_number(error) else None
    title, method = clean(candidate.title, limit=80), clean(candidate.method, limit=40)
    return Point(run.id, title, method, size, quality, known, candidate.checkpoint, capability=run.capability)


def _notes(unmeasured: int, otherwise: int) -> Iterator[str]:
    if unmeasured:
        yield f"omitted: {unmeasured} finished run{'s' * (unmeasured != 1)} without this measurement"
    if otherwise:
        yield f"omitted: {otherwise} point{'s' * (otherwise != 1)} measured on other text or windows, not comparable"


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
