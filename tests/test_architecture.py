"""The rooms and their arrows, and the sizes that keep files readable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("core", "engines", "tui")


def sources() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def test_the_arrows_between_the_rooms_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_passes_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_the_app_stays_small() -> None:
    assert len((ROOT / "tui" / "app.py").read_text().splitlines()) < 250
