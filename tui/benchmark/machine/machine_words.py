"""What a machine multiplies and moves as cells of tables, in words and as charts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from rich.text import Text

from core.benchmark.machine.events import ProductRow, Roof, SquareFigures
from core.benchmark.machine.result import BenchmarkMachineResult, roof_chart, size_chart
from core.sanitize import clean
from tui.experiment.finished import Column
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series

HERE = "◆"
BOUNDS = {"memory": "memory", "arithmetic": "arithmetic", None: words.NOTHING}


@dataclass(frozen=True)
class SizeRow:
    """Products of one size on one device."""

    device: str
    size: int
    squares: tuple[SquareFigures, ...]

    def of(self, dtype: str) -> SquareFigures | None:
        return next((each for each in self.squares if each.dtype == dtype), None)


def sizes(result: BenchmarkMachineResult) -> list[SizeRow]:
    """A row a size, devices one after the other."""
    keys = dict.fromkeys((each.device, each.size) for each in result.squares)
    return [SizeRow(device, size, tuple(each for each in result.squares if (each.device, each.size) == (device, size))) for device, size in keys]


_SIZE, _DEVICE, _RATE, _DEVIATION = 7, 9, 11, 8


def size_columns(result: BenchmarkMachineResult, width: int) -> tuple[Column[SizeRow], ...]:
    """Device where there are several, size, GFLOP/s of each number format; deviations where there is room for all of them."""
    formats = tuple(dict.fromkeys(each.dtype for each in result.squares))
    several = len({each.device for each in result.squares}) > 1
    return _size_columns(formats, several=several, spread=_SIZE + several * _DEVICE + len(formats) * (_RATE + _DEVIATION) <= width)


@cache
def _size_columns(formats: tuple[str, ...], *, several: bool, spread: bool) -> tuple[Column[SizeRow], ...]:
    """The same ones for the same question, so that a table can tell that nothing has changed."""
    found: list[Column[SizeRow]] = [Column("device", _DEVICE, lambda row: clean(row.device), "left")] if several else []
    found.append(Column("size", _SIZE, lambda row: words.count(row.size)))
    for name in formats:
        found.append(Column(clean(name, limit=_RATE - 1), _RATE, _rate_of(name)))
        if spread:
            found.append(Column("±", _DEVIATION, _deviation_of(name)))
    return tuple(found)


def _rate_of(dtype: str) -> Callable[[SizeRow], str]:
    def cell(row: SizeRow) -> str:
        return rate(found.gflops) if (found := row.of(dtype)) is not None else ""

    return cell


def _deviation_of(dtype: str) -> Callable[[SizeRow], str]:
    def cell(row: SizeRow) -> str:
        return rate(found.deviation) if (found := row.of(dtype)) is not None and found.deviation is not None else ""

    return cell


def rate(value: float | None) -> str:
    """Three digits, whole thousands separated."""
    return words.count(value) if value is not None and value >= 1000 else words.figure(value, 3)


def _bound(row: ProductRow) -> Text:
    return Text(f" {BOUNDS[row.bound]}", style="bold" if row.bound == "memory" else "")


def phase(row: ProductRow) -> str:
    """`decode 8`, `prefill 512`."""
    return clean(f"{row.phase} {row.rows}", limit=20)


def product_columns(result: BenchmarkMachineResult) -> tuple[Column[ProductRow], ...]:
    """Number format, product and load, what bounds it, how fast it is; the device where there are several."""
    return _product_columns(several=len({row.device for row in result.rows}) > 1)


@cache
def _product_columns(*, several: bool) -> tuple[Column[ProductRow], ...]:
    more = 7 if several else 0
    return (
        Column("numbers", 9 + more, lambda row: clean(f"{row.device} {row.dtype}" if several else row.dtype, limit=40), "left"),
        Column("product", 9, lambda row: clean(row.product, limit=40), "left"),
        Column("rows", 13, phase, "left"),
        Column("op/byte", 8, lambda row: words.figure(row.intensity, 3), needs=62 + more),
        Column(" bound by", 12, _bound, "left"),
        Column("GFLOP/s", 8, lambda row: rate(row.gflops)),
        Column("±", 7, lambda row: "" if row.deviation is None else rate(row.deviation), needs=85 + more),
        Column("at most", 8, lambda row: rate(row.attainable_gflops), needs=78 + more),
        Column("reached", 8, lambda row: words.percent(row.share, 0), needs=70 + more),
        Column("weights", 16, lambda row: f"{words.count(row.outputs)} x {words.count(row.inputs)}", needs=102 + more),
    )


def product_key(row: ProductRow) -> tuple[str, str, str, str, int, int]:
    """What identifies a product among the others."""
    return row.device, row.dtype, row.product, row.phase, row.rows, row.inputs


def size_plot(result: BenchmarkMachineResult) -> Plot:
    """GFLOP/s over the size of square matrices, a curve a device and number format."""
    curves = size_chart(result)
    one = len({each.device for each in result.squares}) == 1
    series = [Series.of(line.y, line.x, clean(line.name.partition(" ")[2] if one else line.name)) for line in curves]
    top = max((value for line in curves for value in line.y), default=0.0)
    return Plot(
        kind="line",
        series=tuple(series),
        title="square products",
        y_unit="GFLOP/s",
        x_label="size",
        log_x=True,
        y_limits=(0.0, top) if top > 0 else None,
        empty="no product could be measured" if result.squares else "nothing measured yet",
    )


def roof_plot(result: BenchmarkMachineResult, chosen: ProductRow | None) -> Plot:
    """The roofline of the chosen product's device and number format, with the model's products by phase below it."""
    if chosen is None:
        return Plot(kind="scatter", empty="no product of the model has been measured yet")
    lines = roof_chart(result, chosen.device, chosen.dtype)
    series = [
        Series.of(line.y, line.x, "roof", "line", "braille")
        if line.name == "roof"
        else Series.of(line.y, line.x, clean(line.name.replace(", ", " ").removesuffix(" rows")))
        for line in lines
    ]
    if lines and chosen.gflops is not None:
        series.append(Series.of([chosen.gflops], [chosen.intensity], mark=HERE))
    return Plot(
        kind="scatter",
        series=tuple(series),
        title=f"roofline of {clean(chosen.device)}, {clean(chosen.dtype)}",
        y_unit="GFLOP/s",
        x_label="operations per byte",
        log_x=True,
        log_y=True,
        empty="its peak, its memory or its products could not be measured",
    )


def memory(result: BenchmarkMachineResult) -> list[tuple[str, str]]:
    """What each device's memory moves."""
    devices = dict.fromkeys(each.device for each in result.bandwidths)
    return [(clean(f"{device} memory"), ", ".join(_moved(result, device))) for device in devices]


def _moved(result: BenchmarkMachineResult, device: str) -> list[str]:
    return [
        f"{each.traffic} {words.plus_minus(words.figure(each.gb_per_second, 3), each.deviation)} GB/s ({words.size(each.bytes)})"
        if each.gb_per_second is not None
        else f"{each.traffic} not measured: {clean(each.reason, limit=120)}"
        for each in result.bandwidths
        if each.device == device
    ]


def peaks(result: BenchmarkMachineResult) -> list[tuple[str, str]]:
    """The best of each number format, and why some sizes have no figure."""
    found = [
        (
            clean(f"{roof.device} {roof.dtype}"),
            f"at most {rate(roof.peak_gflops)} GFLOP/s, at {words.count(roof.peak_size)}",
        )
        for roof in result.roofs
    ]
    reasons = dict.fromkeys((f"{each.device} {each.dtype}", each.reason) for each in result.squares if each.reason)
    return [*found, *((clean(name), f"not measured: {clean(reason, limit=160)}") for name, reason in reasons)]


def verdict(result: BenchmarkMachineResult, device: str, dtype: str) -> list[tuple[str, str]]:
    """Where the roof of a number format bends, and which products stand under its slope and which under its flat part."""
    roof = next((each for each in result.roofs if (each.device, each.dtype) == (device, dtype)), None)
    held = [row for row in result.rows if (row.device, row.dtype) == (device, dtype)]
    found = [("roof", _roof(roof) if roof is not None else "not known: its peak or its memory was not measured")]
    for bound, name in (("memory", "memory"), ("arithmetic", "arithmetic")):
        if bounded := _grouped(held, bound):
            found.append((f"{name} bounds", bounded))
    return found


def _roof(roof: Roof) -> str:
    return (
        f"{words.figure(roof.gb_per_second, 3)} GB/s up to {words.figure(roof.balance, 3)} operations per byte, "
        f"then {rate(roof.peak_gflops)} GFLOP/s ({words.count(roof.peak_size)} x {words.count(roof.peak_size)})"
    )


def product(row: ProductRow) -> str:
    """Which one the cursor is on, and why it has no figure."""
    name = clean(f"{row.device} {row.dtype} {row.product}, {phase(row)}", limit=80)
    return f"{HERE} {name}: not measured: {clean(row.reason, limit=200)}" if row.reason else f"{HERE} {name}"


def _grouped(rows: Sequence[ProductRow], bound: str) -> str:
    """`decode 1, decode 8, head in decode 64`: a phase as a whole where all of its products are bound alike."""
    parts: list[str] = []
    for name in dict.fromkeys(map(phase, rows)):
        mine = [row for row in rows if phase(row) == name]
        bounded = [row for row in mine if row.bound == bound]
        if bounded:
            parts.append(name if len(bounded) == len(mine) else f"{' and '.join(clean(row.product, limit=40) for row in bounded)} in {name}")
    return "; ".join(parts)


def facts(result: BenchmarkMachineResult) -> list[tuple[str, str]]:
    """Where it was measured, and with what."""
    found = []
    for device in result.devices:
        threads = f", {words.count(device.threads)} thread{'s' if device.threads != 1 else ''}" if device.threads is not None else ""
        cache = f", last cache {words.size(device.cache_bytes)}" if device.cache_bytes is not None else ""
        found.append((clean(device.device), f"{clean(device.name)}{threads}{cache}"))
    how = dict.fromkeys((each.dtype, each.how) for each in result.squares if each.how and each.gflops is not None)
    return [*found, *((clean(dtype), clean(text, limit=120)) for dtype, text in how)]
