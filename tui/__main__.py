"""`llmopt-tui`: read the switches and the settings, look at the terminal, then start textual."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace

import core
from core.errors import EarlyEnd, RequestError
from core.runs.state.home import check_home
from tui import config
from tui.terminal import ssh
from tui.terminal.memory import HeapKeeper

USAGE = """\
usage: llmopt-tui [--read-only] [--version] [--help]

Opens the workstation in this terminal. The command line for scripts is `llmopt`.

  --read-only   disable everything that changes the machine: no kill, no start, no cancel
  --version     print the version and exit
  --help        print this and exit

Settings: {settings}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 after a normal end, 1 when the app broke down, 2 when it could not be started as asked."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if "--help" in arguments or "-h" in arguments:
            sys.stdout.write(USAGE.format(settings=config.path()))
            return 0
        if "--version" in arguments:
            sys.stdout.write(f"llmopt-tui {core.__version__}\n")
            return 0
        return _start(arguments)
    except EarlyEnd as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from tui.shell import crash

        sys.stderr.write(f"{crash.record(error)}\n")
        return 1


def _start(arguments: list[str]) -> int:
    unknown = [argument for argument in arguments if argument != "--read-only"]
    if unknown:
        raise RequestError(f"unknown option {unknown[0]!r}: see llmopt-tui --help; commands such as quantize are in llmopt")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RequestError("llmopt-tui needs a terminal for input and output: use llmopt in scripts and pipes")
    check_home()
    settings = config.load(config.path())
    terminal = ssh.inspect(os.environ)
    if terminal.colors == "none" and os.environ.get("TERM", "") in {"", "dumb"}:
        raise RequestError("this terminal (TERM is dumb or not set) cannot position the cursor: set TERM, or use llmopt")
    if settings.colors != "auto":
        terminal = replace(terminal, colors=settings.colors)
    ssh.apply(terminal, os.environ)
    heap = HeapKeeper()

    from tui.app import LlmoptApp
    from tui.services.services import LiveServices
    from tui.terminal.driver import PatientDriver

    services = LiveServices(settings, read_only="--read-only" in arguments)
    app = LlmoptApp(services, terminal, driver_class=PatientDriver)
    heap.start()
    try:
        app.run()
    finally:
        heap.stop()
        services.close()
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main())
