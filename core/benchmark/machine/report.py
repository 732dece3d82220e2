"""What machines do, for others: tables, both charts, CSV and JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from core import __version__
from core.benchmark.machine.events import BandwidthFigures, ProductRow, SquareFigures
from core.benchmark.machine.result import BenchmarkMachineResult, roof_chart, size_chart
from core.measure.units import number, percent, size
from core.runs.export.report import Cells, Report, Table, Values
from core.runs.export.svg import Point, line_chart
from core.sanitize import clean

SCHEMA = "llmopt.benchmark-machine-report/1"
Named = Sequence[tuple[str, BenchmarkMachineResult]]


def report(results: Named) -> Report:
    """The report of results, each with the name of its run."""
    results = [(clean(name), result) for name, result in results]
    return Report(
        title=f"Products and memory, and what bounds {', '.join(dict.fromkeys(clean(result.model, limit=80) for _, result in results))}",
        sentences=tuple(dict.fromkeys(clean(note, limit=400) for _, result in results for note in result.notes)),
        tables=tuple(table for name, result in results for table in _tables(_before(name, results), result)),
        charts=lambda: _charts(results),
        values=lambda: _values(results),
        samples=lambda: _values(results),
        document=lambda: {
            "schema": SCHEMA,
            "llmopt_version": __version__,
            "results": [{"run": name, "result": result.model_dump(mode="json")} for name, result in results],
        },
    )


def _before(name: str, results: Named) -> str:
    """What titles begin with where there are several results."""
    return f"{name}: " if len(results) > 1 else ""


def _tables(before: str, result: BenchmarkMachineResult) -> Iterator[Table]:
    devices: list[Cells] = [("device", "name", "threads", "last-level cache")]
    devices += [
        (each.device, each.name, "" if each.threads is None else str(each.threads), "" if each.cache_bytes is None else size(each.cache_bytes))
        for each in result.devices
    ]
    yield f"{before}devices", _safe(devices)
    squares: list[Cells] = [("device", "numbers", "size", "GFLOP/s", "±", "computed by")]
    squares += [(each.device, each.dtype, str(each.size), *_rate(each.gflops, each.deviation), each.reason or each.how) for each in result.squares]
    yield f"{before}square products, measured", _safe(squares)
    memory: list[Cells] = [("device", "memory", "bytes", "GB/s", "±", "")]
    memory += [(each.device, each.traffic, size(each.bytes), *_rate(each.gb_per_second, each.deviation), each.reason) for each in result.bandwidths]
    yield f"{before}memory beyond the caches, measured", _safe(memory)
    head = (
        *("device", "numbers", "product", "phase", "rows", "operations per byte", "bound by", "attainable, computed", "GFLOP/s, measured", "±"),
        *("of the attainable", ""),
    )
    products: list[Cells] = [head]
    products += [
        (
            row.device,
            row.dtype,
            f"{row.product} {row.outputs} x {row.inputs}",
            row.phase,
            str(row.rows),
            number(row.intensity),
            row.bound or "—",
            "—" if row.attainable_gflops is None else number(row.attainable_gflops),
            *_rate(row.gflops, row.deviation),
            "—" if row.share is None else percent(row.share),
            row.reason or ("its weights fit into the last-level cache" if row.in_cache else ""),
        )
        for row in result.rows
    ]
    yield f"{before}products of {clean(result.model, limit=80)}", _safe(products)
    roofs: list[Cells] = [("device", "numbers", "peak, GFLOP/s", "at size", "memory, GB/s", "operations per byte at which both bounds meet")]
    roofs += [
        (each.device, each.dtype, number(each.peak_gflops), str(each.peak_size), number(each.gb_per_second), number(each.balance))
        for each in result.roofs
    ]
    yield f"{before}roofs", _safe(roofs)
    yield f"{before}machine", _safe([("", ""), *result.machine.facts()])


def _rate(value: float | None, deviation: float | None) -> tuple[str, str]:
    return "—" if value is None else number(value), "" if deviation is None else number(deviation)


def _safe(rows: list[Cells]) -> list[Cells]:
    return [tuple(clean(cell, limit=200) for cell in row) for row in rows]


def _charts(results: Named) -> Iterator[tuple[str, str]]:
    for name, result in results:
        before = _before(name, results)
        curves = [
            (line.name, [Point(math.log2(x), y, f"{line.name}, {x:g}: {number(y)} GFLOP/s") for x, y in zip(line.x, line.y, strict=True)])
            for line in size_chart(result)
        ]
        if curves:
            yield f"{before}square products", line_chart(curves, x="size", y="GFLOP/s", show=number, show_x=_power, whole=True)
        for roof in result.roofs:
            lines = roof_chart(result, roof.device, roof.dtype)
            if lines:
                drawn = [(line.name, _logarithmic(line.x, line.y, line.labels)) for line in lines]
                roofs = [each for line, each in zip(lines, drawn, strict=True) if not line.labels]
                products = [each for line, each in zip(lines, drawn, strict=True) if line.labels]
                chart = line_chart(roofs, dots=products, x="operations per byte", y="GFLOP/s", show=_power, show_x=_power, whole=True)
                yield f"{before}roofline of {roof.device}, {roof.dtype}", chart


def _power(value: float) -> str:
    return number(2.0**value)


def _logarithmic(xs: Sequence[float], ys: Sequence[float], labels: Sequence[str]) -> list[Point]:
    named = [*labels, *("roof" for _ in range(len(xs) - len(labels)))]
    found = [
        Point(math.log2(x), math.log2(y), f"{clean(label)}: {number(x)} operations per byte, {number(y)} GFLOP/s")
        for x, y, label in zip(xs, ys, named, strict=True)
        if x > 0 and y > 0
    ]
    return sorted(found, key=lambda point: point.x)


def _values(results: Named) -> Iterator[Values]:
    kinds: tuple[type[SquareFigures | BandwidthFigures | ProductRow], ...] = (SquareFigures, BandwidthFigures, ProductRow)
    names = tuple(dict.fromkeys(field.alias or name for kind in kinds for name, field in kind.model_fields.items()))
    yield ("run", "figure", *names)
    for run, result in results:
        for row in (*result.squares, *result.bandwidths, *result.rows):
            values = row.data()
            yield (run, row.kind, *(values.get(name) for name in names))
