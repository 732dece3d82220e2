"""What the workstation's process may never import, looked at in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "tokenizers", "safetensors.torch", "huggingface_hub", "datasets", "scipy", "pandas")

EVERY_TAB = """
import asyncio, json, sys
from tui.app import LlmoptApp
from tui.config import Settings
from tui.shell.panes import PANES
from tui.services.services import LiveServices
from tui.terminal.ssh import Terminal

async def main():
    services = LiveServices(Settings())
    app = LlmoptApp(services, Terminal(False, None, "256", 60, "none"))
    async with app.run_test(size=(120, 36)) as pilot:
        for pane in PANES:
            app.open_pane(pane.id)
            await app.workers.wait_for_complete()
            await pilot.pause(1.2)
        for key in ("ctrl+r", "f1"):
            await pilot.press(key)
            await pilot.pause(0.3)
        problems = [str(node.render()) for node in app.query(".problem")]
    services.close()
    return problems

print(json.dumps({"problems": asyncio.run(main()), "modules": sorted(sys.modules)}))
"""


def modules_after(code: str) -> dict[str, list[str]]:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_no_tab_brings_torch_or_transformers_into_the_workstation() -> None:
    found = modules_after(EVERY_TAB)
    assert found["problems"] == []
    assert [name for name in HEAVY if name in found["modules"]] == []


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_version_and_help_do_not_even_import_textual(argument: str) -> None:
    code = f"""
import json, sys, contextlib, io
from tui.__main__ import main
with contextlib.redirect_stdout(io.StringIO()):
    assert main(["{argument}"]) == 0
print(json.dumps({{"modules": sorted(sys.modules)}}))
"""
    modules = modules_after(code)["modules"]
    assert [name for name in ("textual", "rich", "pydantic", "psutil", "pynvml", *HEAVY) if name in modules] == []


def test_before_its_first_paint_the_app_has_imported_no_tab_and_nothing_that_only_tabs_need() -> None:
    code = """
import json, sys
import tui.__main__, tui.app, tui.terminal.driver, tui.services.services
print(json.dumps({"modules": sorted(sys.modules)}))
"""
    modules = modules_after(code)["modules"]
    late = (
        "pydantic",
        "psutil",
        "pynvml",
        "plotext",
        "numpy",
        "tui.hardware.pane",
        "tui.quantize.pane",
        "tui.distill.pane",
        "tui.prune.pane",
        "tui.kvcache.pane",
        "tui.speculate.pane",
        "tui.benchmark.pane",
        "tui.runs.screen",
        "core.runs.state.store",
        *HEAVY,
    )
    assert [name for name in late if name in modules] == []
