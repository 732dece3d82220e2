"""What may not be imported before a run, tried in a process of its own for each `forbidden` contract.

The contracts follow import statements; a module also runs the `__init__` of the rooms it lies in, and may import by name.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
_SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
FORBIDDEN = {contract["name"]: contract for contract in _SETTINGS["contracts"] if contract["type"] == "forbidden"}
PROGRAM = """
import json, sys
from importlib import import_module
modules, forbidden = json.load(sys.stdin)
seen = {}
for module in modules:
    import_module(module)
    for name in forbidden:
        if name in sys.modules:
            seen.setdefault(name, module)
if "core.runs.registry" in modules:
    from core.runs.registry import CAPABILITIES, spec_class
    for key in CAPABILITIES:
        spec_class(key)
    seen |= {name: "a registered spec" for name in forbidden if name in sys.modules and name not in seen}
print(json.dumps(seen))
"""


@pytest.mark.parametrize("name", FORBIDDEN)
def test_nothing_behind_a_wall_is_imported(name: str) -> None:
    contract = FORBIDDEN[name]
    graph = grimp.build_graph(*_SETTINGS["root_packages"])
    modules = {module for expression in contract["source_modules"] for module in graph.find_matching_modules(expression)}
    if contract.get("as_packages", True):
        modules |= {below for module in modules for below in graph.find_descendants(module)}
    asked = json.dumps([sorted(modules), contract["forbidden_modules"]])
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, input=asked, capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout) == {}
