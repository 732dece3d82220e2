"""A tiny capability for tests."""

import sys

from core.runs import registry
from core.runs.launch.launch import LocalLauncher
from tests.core.runs.tick.spec import TickSpec

__all__ = ["CAPABILITY", "LAUNCHER_COMMAND", "TickSpec", "launcher"]

CAPABILITY = registry.Capability("tests.core.runs.tick", "Tick", "Tick")
LAUNCHER_COMMAND = (sys.executable, "-P", "-m", "tests.core.runs.tick")


def launcher() -> LocalLauncher:
    """A local launcher whose workers know the capability."""
    return LocalLauncher(LAUNCHER_COMMAND)
