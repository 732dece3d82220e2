"""The screens in `snapshots/` are those of the tests: none left over, none under a wrong name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tui.conftest import SNAPSHOTS

TESTS = Path(__file__).parents[1]


def kept() -> list[Path]:
    return sorted(path for path in SNAPSHOTS.rglob("*") if path.is_file())


def test_every_snapshot_is_an_svg() -> None:
    assert [path.name for path in kept() if path.suffix != ".svg"] == []


def test_two_test_files_never_share_a_folder_of_snapshots() -> None:
    stems = [path.stem for path in TESTS.rglob("test_*.py") if "snap_compare" in path.read_text()]
    assert sorted(stems) == sorted(set(stems))


def test_every_snapshot_has_its_test(request: pytest.FixtureRequest) -> None:
    sources = {path.stem: path.read_text() for path in TESTS.rglob("test_*.py")}
    collected = {(Path(str(item.path)).stem, re.sub(r'[\\/?*:|"<>]', "", item.name)) for item in request.session.items}
    whole = {stem for stem, _ in collected}
    orphans = []
    for path in kept():
        stem, name = path.parent.name, path.stem
        function = name.partition("[")[0]
        named = re.search(rf"def {re.escape(function)}\(", sources.get(stem, "")) is not None
        if not named or (request.config.option.file_or_dir == [] and stem in whole and (stem, name) not in collected):
            orphans.append(f"{stem}/{path.name}")
    assert orphans == [], "delete them, or bring their tests back"
