"""A load of hours stays small on screen: what is kept of each second, and of pictures that never come again."""

from __future__ import annotations

import gc
import time
import tracemalloc

import pytest
from rich.cells import cached_cell_len, cell_len

from core.benchmark.events import SecondEvent
from core.runs.state.events import Detail, Log
from tui.benchmark.live.curves import CHARTS
from tui.benchmark.live.progress import BenchmarkProgress
from tui.terminal.memory import HeapKeeper
from tui.widgets.chart.picture import draw, line_length
from tui.widgets.chart.trace import MOST

SECONDS = 1800
MIB = 1 << 20


def event(number: int) -> Detail:
    t = number + 0.25
    second = SecondEvent(
        t=t, scheduled=4000, sent=number, done=number, failed=0, timed_out=0, running=4, tokens_per_second=31.5 + number % 7, requests_per_second=4.0,
        ttft_ms=12.5 + number % 5, itl_ms=3.25, e2el_ms=40.0 + number % 3, server_running=1.0, server_waiting=0.0, memory=10**9, kv_usage=0.5,
    )  # fmt: skip
    return Detail(1.7e9 + t, SecondEvent.kind, second.data())


def heard(progress: BenchmarkProgress, first: int, last: int) -> None:
    for number in range(first, last):
        progress.apply(event(number))


@pytest.mark.parametrize("seconds", [600, SECONDS, 20 * SECONDS])
def test_a_load_takes_a_quarter_of_a_megabyte_however_long_it_is(seconds: int) -> None:
    progress = BenchmarkProgress()
    heard(progress, 0, 10)
    gc.collect()
    tracemalloc.start()
    try:
        heard(progress, 10, seconds)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < MIB / 4
    finally:
        tracemalloc.stop()
    assert progress.last is not None
    assert progress.last.done == seconds - 1
    assert all(len(series.y) <= MOST for chart in CHARTS for series in chart(progress.charted).series)


def test_the_texts_of_many_errors_are_bounded() -> None:
    progress = BenchmarkProgress()
    progress.add(Log(1.7e9 + number, f"request {number}: the server refused the connection") for number in range(1000))
    assert progress.errors[-1] == "request 999: the server refused the connection"
    assert len(progress.errors) <= 50


def test_pictures_of_a_live_chart_do_not_pile_up() -> None:
    progress = BenchmarkProgress()
    heard(progress, 0, SECONDS)
    draw.cache_clear()
    for number in range(SECONDS, SECONDS + 40):
        heard(progress, number, number + 1)
        for chart in CHARTS:
            draw(chart(progress.charted), 80, 0)
    assert draw.cache_info().currsize <= 12


@pytest.mark.parametrize("text", ["throughput  token/s", "┤⡇⣀⣤ ▒█▄", "日本語 wide", "é combining e\u0301", "emoji 😀", ""])
def test_the_length_of_a_line_is_that_of_its_cells(text: str) -> None:
    assert line_length(((text, 0), ("x", 1))) == cell_len(text) + 1


def test_texts_of_a_chart_are_not_kept() -> None:
    cached_cell_len.cache_clear()
    line_length(tuple((f"⡇⣀{number}", 0) for number in range(100)))
    assert cached_cell_len.cache_info().currsize == 0


def test_what_a_start_brought_is_not_counted_as_garbage() -> None:
    keeper = HeapKeeper(started=0.0, every=0.01)
    keeper.start()
    try:
        deadline = time.monotonic() + 10
        while gc.get_freeze_count() < 10_000 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert gc.get_freeze_count() > 10_000
    finally:
        keeper.stop()
        gc.unfreeze()
