"""Whoever looks at runs never pays for torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import pkgutil, sys
from importlib import import_module
import core.runs
for module in pkgutil.walk_packages(core.runs.__path__, "core.runs."):
    import_module(module.name)
from core.runs.registry import CAPABILITIES, spec_class
for key in CAPABILITIES:
    spec_class(key)
print(sorted({"torch", "transformers", "textual"} & set(sys.modules)))
"""


def test_no_module_of_runs_and_no_spec_imports_torch() -> None:
    answer = subprocess.run([sys.executable, "-c", _PROGRAM], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
