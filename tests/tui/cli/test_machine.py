"""What `llmopt benchmark-machine` prints."""

from __future__ import annotations

import pytest

from core.benchmark.machine.events import BandwidthFigures, ProductRow, Roof, SquareFigures
from core.benchmark.machine.result import BenchmarkMachineResult, DeviceFacts
from tui.cli.printing.results import print_result

RESULT = BenchmarkMachineResult(
    model="base",
    devices=(DeviceFacts(device="cpu", name="A processor", threads=2, cache_bytes=1 << 20),),
    squares=(
        SquareFigures(device="cpu", dtype="float32", size=256, gflops=110.5, deviation=1.25, repeats=5),
        SquareFigures(device="cpu", dtype="int8", size=256, gflops=None, reason="no kernel\x1b[2J here"),
    ),
    bandwidths=(BandwidthFigures(device="cpu", traffic="read", bytes=1 << 28, gb_per_second=11.0, deviation=0.5, repeats=5),),
    roofs=(Roof(device="cpu", dtype="float32", peak_gflops=110.5, peak_size=256, gb_per_second=11.0, balance=110.5 / 11),),
    rows=(
        ProductRow(
            device="cpu",
            dtype="float32",
            product="gate, up",
            phase="decode",
            rows=1,
            outputs=512,
            inputs=256,
            flops=262144.0,
            bytes=527360.0,
            intensity=0.497,
            bound="memory",
            attainable_gflops=5.467,
            gflops=5.01,
            deviation=0.02,
            share=0.916,
            in_cache=False,
        ),
    ),
    repeats=5,
    seconds=1.0,
    notes=("measured and reckoned",),
)


def test_every_part_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(RESULT)
    printed = capsys.readouterr()
    assert "cpu float32: GFLOP/s" in printed.out
    lines = [line.split() for line in printed.out.splitlines()]
    assert ["device", "numbers", "size", "GFLOP/s", "±", "why", "not"] in lines
    assert ["cpu", "float32", "256", "110.5", "1.25"] in lines
    assert any(line[:3] == ["cpu", "int8", "256"] and line[-1] == "here" for line in lines)
    assert ["cpu", "read", "256.0", "MiB", "11", "0.5"] in lines
    assert any(line[:6] == ["cpu", "float32", "gate,", "up", "decode", "1"] and "memory" in line and "5.01" in line for line in lines)
    assert "\x1b" not in printed.out
    assert "measured and reckoned" in printed.err
