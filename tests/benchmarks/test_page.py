"""The page of the benchmarks: what is committed is what the command makes, and it says what every figure means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import modules
from tests.benchmarks.meanings import BENCHMARKS, meaning
from tests.benchmarks.page import PAGE, page
from tests.benchmarks.report import RESULTS, record


def test_the_committed_page_is_what_the_command_makes() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*.json")), ids=lambda file: file.stem)
def test_every_figure_has_a_meaning(file: Path) -> None:
    document = json.loads(file.read_text())
    assert [key for key in document["figures"] | document["bars"] if meaning(file.stem, key) is None] == []


def test_every_description_is_of_a_benchmark() -> None:
    assert set(BENCHMARKS) <= modules().keys()


def test_a_figure_is_listed_with_its_target_and_a_missed_one_is_marked(tmp_path: Path) -> None:
    record("idle", {"cpu_percent": 12.5, "seconds": 30}, {"cpu_percent": ("<=", 3)}, results=tmp_path)
    made = page(tmp_path)
    assert "| `cpu_percent` | 12.5 | <= 3 | **no** | Share of one core, in percent |" in made
    assert "| `seconds` | 30 | Duration of the whole measurement, in seconds |" in made
    assert "1 benchmarks, 1 targets, 0 met." in made


def test_a_benchmark_that_nobody_described_is_an_error(tmp_path: Path) -> None:
    record("novel", {}, {}, results=tmp_path)
    with pytest.raises(KeyError, match="novel"):
        page(tmp_path)
