"""All packages, imported before a second thread imports anything.

At the end of importing a package, Python takes it out of `sys.modules` and puts it back (`_load_unlocked` in importlib). A thread that imports one of
its modules in that moment fails with a KeyError of the package's name, and tabs and looks at the runs are imported in threads of their own.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from types import ModuleType

GATHERING = frozenset(
    {
        "core.benchmark.metrics",
        "core.benchmark.report",
        "core.prune.methods",
        "core.quantize.methods",
        "core.runs.export",
        "tui.widgets.form.fields",
    }
)
"""Packages that import their modules and much else: left to the tabs that need them."""


@cache
def import_packages() -> None:
    """Import every package but those that gather: some milliseconds, as they hold nothing but a docstring."""
    for room in ("core", "engines", "tui"):
        _import_below(import_module(room))


def _import_below(package: ModuleType) -> None:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if found.ispkg and found.name not in GATHERING:
            _import_below(import_module(found.name))
