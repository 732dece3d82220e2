"""`llmopt benchmark-machine`: what this machine multiplies and moves in a second, and what that means for a model."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

import torch

from core.benchmark.machine.events import BandwidthFigures, ProductRow, Roof, Row, SquareFigures
from core.benchmark.machine.products import DTYPES, array_bytes, cache_bytes, how, multiply, random, refusal, result_item, rotated, traffic_of
from core.benchmark.machine.result import BenchmarkMachineResult, DeviceFacts
from core.benchmark.machine.roofline import attainable, bound, operations, traffic
from core.benchmark.machine.shapes import BlockProduct, has_experts, products_of
from core.benchmark.machine.spec import BenchmarkMachineSpec
from core.benchmark.machine.stopwatch import Stopwatch
from core.context import RunContext
from core.evaluate.logits.threads import torch_threads
from core.hardware.live.host import cpu_name
from core.hardware.live.surroundings import surroundings
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.sanitize import clean

_KINDS: tuple[Literal["copy", "read"], ...] = ("copy", "read")


def run(spec: BenchmarkMachineSpec, context: RunContext) -> BenchmarkMachineResult:
    """Measure products and memory of the processor and the GPU, one after the other.

    Raises:
        RequestError: the model cannot be read.
        Cancelled: by the user.
    """
    began = time.monotonic()
    source = resolve(spec.model)
    card = source.card()
    phases = (*(("decode", batch) for batch in spec.batches), ("prefill", spec.prompt_tokens))
    loads = tuple((product, phase, rows) for phase, rows in phases for product in products_of(card) if phase == "decode" or product.prefill)
    devices = ("cpu", context.device) if spec.device == "auto" and context.device != "cpu" else (context.device,)
    total = len(devices) * (len(spec.dtypes) * (len(spec.sizes) + len(loads)) + len(_KINDS))
    with torch_threads(spec.threads):
        benches = [_Bench(spec, context, device, card, total) for device in devices]
        for number, bench in enumerate(benches):
            bench.done = number * total // len(devices)
            bench.measure(loads)
        used = torch.get_num_threads()
    return BenchmarkMachineResult(
        model=source.title,
        devices=tuple(_facts(device, used) for device in devices),
        squares=tuple(square for bench in benches for square in bench.squares),
        bandwidths=tuple(each for bench in benches for each in bench.bandwidths),
        roofs=tuple(roof for bench in benches for roof in bench.roofs()),
        rows=tuple(row for bench in benches for row in bench.rows),
        repeats=spec.repeats,
        machine=surroundings().model_copy(update={"torch": torch.__version__}),
        seconds=time.monotonic() - began,
        notes=_notes(card, benches),
    )


@dataclass
class _Bench:
    """One device."""

    spec: BenchmarkMachineSpec
    context: RunContext
    device: str
    card: ModelCard
    total: int
    done: int = 0
    squares: list[SquareFigures] = field(default_factory=list)
    bandwidths: list[BandwidthFigures] = field(default_factory=list)
    rows: list[ProductRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        on_gpu = self.device != "cpu"
        self.watch = Stopwatch(synchronize=(lambda: torch.cuda.synchronize(self.device)) if on_gpu else (lambda: None))
        self.cache = cache_bytes(self.device)

    def measure(self, loads: tuple[tuple[BlockProduct, str, int], ...]) -> None:
        """Squares and memory first: the roof under which the products of the model stand."""
        for dtype in self.spec.dtypes:
            for size in self.spec.sizes:
                self._next(f"{dtype} product of {size} x {size}")
                self._square(dtype, size)
        for kind in _KINDS:
            self._next(f"memory: {kind}")
            self._bandwidth(kind)
        roofs = {roof.dtype: roof for roof in self.roofs()}
        for roof in roofs.values():
            self.context.detail(roof)
        for dtype in self.spec.dtypes:
            for product, phase, rows in loads:
                self._next(f"{dtype} {product.name}, {phase} of {rows} rows")
                self._product(dtype, product, phase, rows, roofs.get(dtype))

    def roofs(self) -> list[Roof]:
        """Of every number format that was measured."""
        read = next((each.gb_per_second for each in self.bandwidths if each.traffic == "read"), None)
        measured = sorted((square.gflops, square.size, square.dtype) for square in self.squares if square.gflops is not None)
        best = {dtype: (gflops, size) for gflops, size, dtype in measured}
        if not read:
            return []
        return [
            Roof(device=self.device, dtype=dtype, peak_gflops=gflops, peak_size=size, gb_per_second=read, balance=gflops / read)
            for dtype in self.spec.dtypes
            if dtype in best
            for gflops, size in [best[dtype]]
        ]

    def _square(self, dtype: str, size: int) -> None:
        rate, deviation, repeats, reason = self._timed(dtype, size, size, size, 0.0)
        self.squares.append(
            SquareFigures(
                device=self.device,
                dtype=dtype,
                size=size,
                gflops=rate,
                deviation=deviation,
                repeats=repeats,
                how=how(self.device, dtype),
                reason=reason,
            )
        )
        self._report(self.squares[-1], f"{self.device} {dtype}", size, rate)

    def _bandwidth(self, kind: Literal["copy", "read"]) -> None:
        n_bytes = array_bytes(self.spec.memory_bytes, self.device)
        rate: float | None = None
        deviation: float | None = None
        reason, repeats = "", 0
        try:
            call, moved = traffic_of(kind, n_bytes, self.device)
            timed = self.watch.time(call, self.spec.repeats, self.context.check_cancelled)
            (rate, deviation), repeats = timed.rate(moved / 1e9), len(timed.seconds)
        except (RuntimeError, MemoryError) as error:
            reason = _sentence(error)
        self.bandwidths.append(
            BandwidthFigures(device=self.device, traffic=kind, bytes=n_bytes, gb_per_second=rate, deviation=deviation, repeats=repeats, reason=reason)
        )
        self._report(self.bandwidths[-1], f"{self.device} {kind}", n_bytes, rate)

    def _product(self, dtype: str, product: BlockProduct, phase: str, rows: int, roof: Roof | None) -> None:
        item = DTYPES[dtype].itemsize
        held = sum(each.outputs * each.inputs * each.count for each in products_of(self.card)) * item
        flops = operations(rows, product.outputs, product.inputs)
        moved = traffic(rows, product.outputs, product.inputs, item, result_item(dtype))
        rate, deviation, _, reason = self._timed(dtype, rows, product.outputs, product.inputs, held)
        most = None if roof is None else attainable(flops / moved, roof.peak_gflops, roof.gb_per_second)
        self.rows.append(
            ProductRow(
                device=self.device,
                dtype=dtype,
                product=product.name,
                phase=phase,
                rows=rows,
                outputs=product.outputs,
                inputs=product.inputs,
                flops=flops,
                bytes=moved,
                intensity=flops / moved,
                bound=None if roof is None else bound(flops / moved, roof.balance),
                attainable_gflops=most,
                gflops=rate,
                deviation=deviation,
                share=None if rate is None or not most else rate / most,
                in_cache=None if self.cache is None else held <= self.cache,
                reason=reason,
            )
        )
        self._report(self.rows[-1], f"{self.device} {dtype} {product.name}", rows, rate)

    def _timed(self, dtype: str, rows: int, outputs: int, inputs: int, between: float) -> tuple[float | None, float | None, int, str]:
        """GFLOP/s of a product: mean, standard deviation, repeats, and why there is none."""
        if reason := refusal(self.device, dtype, rows, outputs, inputs):
            return None, None, 0, reason
        try:
            left = random(rows, inputs, dtype, self.device, self.spec.seed)
            weight = random(outputs, inputs, dtype, self.device, self.spec.seed + 1)
            weights = rotated(weight, min(between, 4.0 * (self.cache or 2**28)), self.device)
            with torch.inference_mode():
                timed = self.watch.time(lambda: multiply(left, next(weights)), self.spec.repeats, self.context.check_cancelled)
        except (RuntimeError, NotImplementedError, MemoryError) as error:
            return None, None, 0, _sentence(error)
        rate, deviation = timed.rate(operations(rows, outputs, inputs) / 1e9)
        return rate, deviation, len(timed.seconds), ""

    def _next(self, label: str) -> None:
        self.context.check_cancelled()
        self.context.progress(self.done, self.total, f"{self.device}: {label}")
        self.done += 1

    def _report(self, row: Row, label: str, step: int, rate: float | None) -> None:
        self.context.detail(row)
        if rate is not None:
            self.context.metric("gb_per_second" if isinstance(row, BandwidthFigures) else "gflops", rate, step, label)


def _facts(device: str, threads: int) -> DeviceFacts:
    on_cpu = device == "cpu"
    name = (cpu_name() or "processor") if on_cpu else torch.cuda.get_device_name(device)
    return DeviceFacts(device=device, name=clean(name, limit=120), threads=threads if on_cpu else None, cache_bytes=cache_bytes(device))


def _notes(card: ModelCard, benches: list[_Bench]) -> tuple[str, ...]:
    notes = [
        "measured: GFLOP/s and GB/s; counted: operations and bytes; computed from them: balance, attainable "
        "and bound. Attention's products over keys and values, and everything between the products, are excluded"
    ]
    if card.quantization is not None:
        notes.append("the checkpoint is quantized: its shapes are measured in the requested number formats")
    if has_experts(card):
        notes.append("products of experts are excluded: the router decides how many rows each gets")
    for bench in benches:
        if inside := sorted({row.dtype for row in bench.rows if row.in_cache}):
            notes.append(
                f"{bench.device}: in {', '.join(inside)} all weights fit into the last-level cache, so memory does not bound these products here"
            )
        if bench.device != "cpu" and "float32" in bench.spec.dtypes:
            notes.append(f"{bench.device}: float32 products with torch's setting {torch.get_float32_matmul_precision()!r}")
    return tuple(notes)


def _sentence(error: Exception) -> str:
    return clean((str(error) or type(error).__name__).splitlines()[0], limit=200)
