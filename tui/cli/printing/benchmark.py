"""The result of a benchmark as the command line prints it."""

from __future__ import annotations

from collections.abc import Sequence

from core.benchmark.compare.result import BenchmarkCompareResult
from core.benchmark.report.named import Named, targets
from core.benchmark.report.tables import CLAIMS, SAID, errors, intervals, levels, percentiles, quality, server, thresholds, warnings_by_target
from core.benchmark.result import BenchmarkEntry, BenchmarkResult, headline
from core.measure.units import number, size
from core.runs.export.report import Cells
from core.runs.figures import figure, show
from tui.cli.printing.output import columns, narrate, print_facts, print_table, terminal_width

_SPOKEN = ("throughput_tokens_per_second", "throughput_requests_per_second", "goodput_requests_per_second", "requests_done", "requests_bad")
_AFTER = ("model_bytes", "cost_per_million_tokens")


def print_benchmark(result: BenchmarkResult) -> None:
    """Figures, percentiles, levels of a sweep, thresholds, errors; of several targets a ranking, the recommendation and what is beyond noise."""
    if len(result.entries) == 1 and not isinstance(result, BenchmarkCompareResult):
        _print_entry(result.entries[0], result.load)
    else:
        _print_targets(result)
    _print_thresholds(result)
    _print_notes(result)


def _print_entry(entry: BenchmarkEntry, load: str) -> None:
    figures = headline(entry)
    print_facts([("target", entry.name), ("engine", f"{entry.engine} {entry.engine_version or ''}".strip()), ("load", load)])
    print()
    names = [name for name in (*_SPOKEN, *_AFTER) if figures[name] is not None]
    rows = [(figure(name).title, show(name, figures[name])) for name in names]
    if entry.knee is not None:
        rows.insert(0, ("knee of the sweep", number(entry.knee)))
    if entry.highest_meeting is not None:
        rows.insert(0, ("highest load that meets the objectives", number(entry.highest_meeting)))
    print_table(rows, right=(1,))
    print()
    print_facts([("measured", f"{number(entry.shown.seconds)} s: {entry.shown.window}"), *server(entry), *quality(entry.quality)])
    _print_rows(percentiles(entry, short=True), right=range(1, 9))
    _print_rows(_intervals(entry), right=range(1, 4))
    _print_rows(levels(entry), right=range(10))
    _print_rows(errors(entry), right=(0,), shrink=(2,))


def _intervals(entry: BenchmarkEntry) -> list[Cells]:
    head, *rows = intervals(entry, SAID, short=True)
    return [("95 % intervals", *head[1:]), *rows]


def _print_targets(result: BenchmarkResult) -> None:
    print_facts([("load", result.load)])
    ranked = sorted(targets([Named("run", result)]), key=lambda row: -(row.entry.throughput_tokens_per_second or 0.0))
    rows = [
        (
            row.title,
            _number(row.entry.throughput_tokens_per_second),
            _number(row.entry.ttft_ms.p50),
            _number(row.entry.tpot_ms.p50),
            _bytes(row.entry.server.gpu_bytes or row.entry.server.host_bytes),
            _bytes(row.entry.model_bytes),
            _number(row.entry.quality.ppl),
        )
        for row in ranked
    ]
    print()
    print_table(rows, ("target", "token/s", "TTFT, ms", "TPOT, ms", "memory", "weights", "ppl"), right=range(1, 7))
    if isinstance(result, BenchmarkCompareResult):
        print()
        print_facts([(each.title, each.words) for each in result.recommendations])
        if result.left_out:
            print()
            print_facts([(each.target, f"not measured: {each.reason}") for each in result.left_out])
    for entry in result.entries:
        if entry.errors:
            print(f"\n{entry.name}")
            _print_rows(errors(entry), right=(0,), shrink=(2,))


def _print_notes(result: BenchmarkResult) -> None:
    several = len(result.entries) > 1
    for warning in result.warnings:
        narrate(f"note: {warning}")
    for warning in warnings_by_target(result.entries):
        narrate(f"note: {warning}")
    if not several and any(not each.enough for entry in result.entries for figure in entry.shown.metrics.values() for each in figure.percentiles):
        narrate(f"note: {CLAIMS}")


def _print_thresholds(result: BenchmarkResult) -> None:
    """As a table where it fits; else what must be said of each is continued below itself, and nothing of it is cut."""
    head, *rows = thresholds(result.thresholds)
    width = sum(max(columns(str(row[place])) for row in (head, *rows)) + 2 for place in range(len(head))) - 2
    if width <= terminal_width():
        _print_rows([head, *rows])
    elif rows:
        print()
        print_facts([(f"{sign.ljust(7)}  {expression}", ": ".join(filter(None, (found, words)))) for sign, expression, found, words in rows])


def _print_rows(rows: Sequence[Cells], right: Sequence[int] = (), shrink: Sequence[int] = (0,)) -> None:
    if len(rows) > 1:
        print()
        print_table(rows[1:], rows[0], right=right, shrink=shrink)


def _number(value: float | None) -> str:
    return "—" if value is None else number(value)


def _bytes(value: int | None) -> str:
    return "—" if value is None else size(value)
