"""The lines of the live view: their width, their words, what replaces a figure that is refused."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from core.hardware.snapshot import GIBIBYTE, GpuMemory, ProcessState
from tests.tui.hardware.conftest import sampled
from tui.hardware import gpu_facts, gpu_rows, host_lines, process_rows, words

SHAPES = ["one", "eight", "mig", "unified", "vgpu", "lost", "none"]


def text(line):
    return "".join(part for part, _ in line)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_every_line_fits_and_no_python_shows(shape, width):
    sampler = sampled(shape, 3)
    snapshot = sampler.latest
    lines = [*host_lines.compact(snapshot, sampler.history, width), *host_lines.full(snapshot, sampler.history, width, 20)]  # type: ignore[arg-type]
    for gpu in snapshot.gpus:
        lines += gpu_facts.lines(gpu, sampler.history, width, 30)
    for line in lines:
        assert cell_len(text(line)) <= width
    if width >= 80:  # narrower ones are clipped by the table
        lines += [gpu_rows.head(width), *(gpu_rows.row(gpu, sampler.history, width) for gpu in snapshot.gpus)]
        assert all(cell_len(text(gpu_rows.row(gpu, sampler.history, width))) <= width - 1 for gpu in snapshot.gpus)
    for line in lines + [process_rows.row(process, width) for process in snapshot.processes]:
        assert not {"None", "nan", "()"} & set(text(line).split())


@pytest.mark.parametrize("width", [80, 96, 120, 160])
@pytest.mark.parametrize("shape", ["one", "eight", "vgpu", "mig"])
def test_figures_stand_below_their_heads(shape, width):
    sampler = sampled(shape, 2)
    head = text(gpu_rows.head(width))
    row = " " + text(gpu_rows.row(sampler.latest.gpus[0], sampler.history, width))
    assert cell_len(head) == cell_len(row)
    assert row[head.index("state") - 1] == " "
    assert row[head.index("state")] != " "


def test_what_the_driver_refuses_is_not_available_and_never_zero():
    sampler = sampled("vgpu", 2)
    gpu = sampler.latest.gpus[0]
    row = text(gpu_rows.row(gpu, sampler.history, 120))
    assert row.count("n/a") == 6  # power, temperature, fan, PCIe in and out, state
    facts = " ".join(text(line) for line in gpu_facts.lines(gpu, sampler.history, 120, 30))
    assert "ECC       n/a" in facts
    assert "PCIe      n/a" in facts
    assert " 0 W" not in facts


def test_a_gpu_in_the_hosts_memory_says_so():
    sampler = sampled("unified", 2)
    assert "host's" in text(gpu_rows.row(sampler.latest.gpus[0], sampler.history, 80))
    assert any("in the host's memory" in text(line) for line in gpu_facts.lines(sampler.latest.gpus[0], sampler.history, 80, 30))


def test_a_lost_gpu_keeps_its_row_and_says_why():
    sampler = sampled("lost")
    row = text(gpu_rows.row(sampler.latest.gpus[1], sampler.history, 120))
    assert row.startswith(" 1 L40S")
    assert "! the GPU has fallen off the bus" in row


def test_mig_devices_are_listed_with_their_memory():
    sampler = sampled("mig")
    facts = [text(line) for line in gpu_facts.lines(sampler.latest.gpus[0], sampler.history, 80, 30)]
    assert any("MIG 2     1g.5gb" in line and "4.2/4.8" in line for line in facts)


@pytest.mark.parametrize("height", range(14))
def test_facts_take_no_more_room_than_they_are_given_and_begin_with_what_the_table_lacks(height):
    sampler = sampled("eight", 3)
    lines = gpu_facts.lines(sampler.latest.gpus[3], sampler.history, 80, height)
    assert len(lines) <= height
    if height == 4:
        assert "throttled" in text(lines[1])


def test_ecc_errors_and_replays_are_told():
    sampler = sampled("eight", 3)
    facts = " ".join(text(line) for line in gpu_facts.lines(sampler.latest.gpus[3], sampler.history, 120, 30))
    assert "corrected 3, not 0" in facts
    assert "lifetime 12, not 1" in facts
    assert "2 replays" in facts


def test_memory_is_told_as_nvidia_smi_tells_it_and_measured_with_what_the_driver_reserves():
    assert GpuMemory(100, 80, 10, 10).percent == 90
    sampler = sampled("eight", 1)
    assert "69.5/79.6" in text(gpu_rows.row(sampler.latest.gpus[0], sampler.history, 80))


def test_a_run_of_ours_is_marked_by_a_word():
    ours = ProcessState(7, "compute", 0, GIBIBYTE, owner="ada", command="python", ours=True, run="r")
    other = ProcessState(8, "compute", 0, None, owner=None, command=None)
    assert " ours " in text(process_rows.row(ours, 80))
    assert "ours" not in text(process_rows.row(other, 80))
    assert text(process_rows.row(other, 80)).count("n/a") == 4


def test_a_command_cannot_disturb_the_terminal():
    process = ProcessState(7, "compute", 0, 1, owner="\x1b[31m", command="\x1b]0;owned\x07[bold]")
    assert "\x1b" not in text(process_rows.row(process, 80))


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(1480 * GIBIBYTE, 2000 * GIBIBYTE, "1.4 of 2.0 TiB"), (None, GIBIBYTE, "n/a of 1.0 GiB"), (5, None, "n/a"), (0, 512, "0.0 of 512 B")],
)
def test_part_and_whole_share_a_unit(part, whole, said):
    assert words.pair(part, whole) == said


@pytest.mark.parametrize(("value", "said"), [(None, "n/a"), (0, "0 B/s"), (4.2e9, "4.2 GB/s"), (999_400, "999 kB/s")])
def test_rates(value, said):
    assert words.rate(value) == said


@pytest.mark.parametrize("cores", [1, 2, 8, 64, 256])
def test_every_core_is_shown_in_the_room_there_is(cores):
    shares = tuple(float(core % 101) for core in range(cores))
    grid = host_lines.core_grid(shares, 80, 10)
    assert len(grid) <= 10
    if cores <= 40:
        shown = " ".join(text(line) for line in grid)
        assert all(f"{core:>3} " in shown for core in range(cores))
