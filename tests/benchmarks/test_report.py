"""The benchmark report: bars decide, missing figures fail, the JSON says what was printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.report import record


@pytest.mark.parametrize(
    ("figure", "bar", "met"),
    [(0.75, ("<=", 0.75), True), (0.76, ("<=", 0.75), False), (0.6, (">=", 0.6), True), (0.59, (">=", 0.6), False), (None, ("<=", 1), False)],
)
def test_a_bar_is_met_or_missed(tmp_path: Path, figure: float | None, bar: tuple[str, float], met: bool) -> None:
    assert record("trial", {"ratio": figure}, {"ratio": bar}, results=tmp_path) is met
    assert json.loads((tmp_path / "trial.json").read_text())["passed"] is met


def test_a_bar_without_a_figure_has_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not record("trial", {"seconds": 2.0}, {"ratio": ("<=", 1)}, results=tmp_path)
    assert "MISSED" in capsys.readouterr().out


def test_the_document_states_machine_versions_date_and_bars(tmp_path: Path) -> None:
    record("trial", {"ratio": 0.5, "note": "x"}, {"ratio": ("<", 1)}, results=tmp_path)
    document = json.loads((tmp_path / "trial.json").read_text())
    assert document["machine"]["cores"] >= 1
    assert {"python", "torch"} <= document["versions"].keys()
    assert document["date"].endswith("+00:00")
    assert document["bars"]["ratio"] == {"bar": "< 1", "figure": 0.5, "passed": True}
    assert [path.name for path in tmp_path.iterdir()] == ["trial.json"]
