"""Every package is complete before a tab or a look at the runs is imported in a thread."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widget import Widget

from tests.tui.waiting import until
from tui import app as app_module
from tui.app import LlmoptApp
from tui.shell.packages import GATHERING
from tui.shell.panes import PaneEntry

ROOT = Path(__file__).parents[3]
PROGRAM = """
import json, sys
import tui.app
before = set(sys.modules)
tui.app.import_packages()
print(json.dumps(sorted(set(sys.modules) - before)), json.dumps(sorted(sys.modules)), sep="\\n")
"""


def test_all_packages_are_imported_and_nothing_else() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    new, all_modules = map(json.loads, done.stdout.splitlines())
    folders = (file.parent.relative_to(ROOT).parts for room in ("core", "engines", "tui") for file in (ROOT / room).rglob("__init__.py"))
    packages = {".".join(parts) for parts in folders} - GATHERING
    assert {name for name in packages if name not in all_modules} == set()
    assert {name for name in new if name.partition(".")[0] in ("core", "engines", "tui") and name not in packages} == set()
    assert [name for name in new if name.partition(".")[0] in ("numpy", "pydantic", "torch")] == []


async def test_they_are_imported_before_the_first_thread(make_app: Callable[..., LlmoptApp], monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    load = PaneEntry.load

    def noted(row: PaneEntry) -> type[Widget]:
        order.append(row.id)
        return load(row)

    monkeypatch.setattr(app_module, "import_packages", lambda: order.append("packages"))
    monkeypatch.setattr(PaneEntry, "load", noted)
    async with make_app().run_test() as pilot:
        await until(pilot, lambda: "hardware" in order)
    assert order == ["packages", "hardware"]
