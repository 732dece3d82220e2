"""`llmopt` with one command more, `tick`, of the tests' own capability: python -m tests.tui.cli.ticking ARGUMENTS."""

from __future__ import annotations

import sys
from typing import Any

from core.runs import registry
from tests.core.runs import tick
from tui.cli import app, experiment, main
from tui.cli.options import from_spec


def __getattr__(name: str) -> Any:
    if name != "command":
        raise AttributeError(name)
    return from_spec(lambda model, **given: experiment.experiment("tick", model, given), tick.TickSpec, "Tick a number of times.")


COMMAND = ("tick", "tests.tui.cli.ticking:command", "Tick a number of times.")

if __name__ == "__main__":
    registry.CAPABILITIES["tick"] = tick.CAPABILITY
    app.COMMANDS += (COMMAND,)
    experiment.launcher = tick.launcher
    code = main()
    print(f"heavy modules: {sorted({'torch', 'transformers', 'textual'} & set(sys.modules))}", file=sys.stderr)
    sys.exit(code)
