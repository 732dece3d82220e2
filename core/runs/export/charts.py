"""The charts of a run's page: the course of each figure, and what the result holds to be drawn."""

from __future__ import annotations

from collections.abc import Iterator

from core.runs.events import Metric
from core.runs.export.gather import Exported, Series
from core.runs.export.svg import Point, line_chart
from core.runs.figures import figure, show

Chart = tuple[str, str]


def charts(exported: Exported) -> Iterator[Chart]:
    """(title, SVG) of every chart."""
    for series in exported.series:
        if sum(point.value is not None for point in series.points) > 1:
            yield f"{series.title[:1].upper()}{series.title[1:]}", _course(series)


def _course(series: Series) -> str:
    points = [
        Point(_place(series, index, point), point.value, f"{point.label or point.step}: {show(series.name, point.value)}")
        for index, point in enumerate(series.points)
        if point.value is not None
    ]
    return line_chart([(series.title, points)], x="step", y=series.title, show=figure(series.name).show)


def _place(series: Series, index: int, point: Metric) -> float:
    """The step, unless all points have the same one."""
    return float(point.step if series.points[0].step != series.points[-1].step else index)
