"""`llmopt`: every experiment without a screen. Data goes to stdout, narration to stderr.

May import `core` and, for the entry points, `engines`. Never textual, and never a model library before a run.
"""

from __future__ import annotations

import signal
import sys

_FAILED, _INTERRUPTED = 1, 130


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 failed, 2 wrong request, 3 a check fell short, 130 interrupted.

    Nothing is imported above that ctrl+c could interrupt, and what an interrupted import makes of it counts as interrupted too.
    """
    seen: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    mine = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        if mine:
            signal.signal(signal.SIGINT, interrupt)
        from tui.cli.entry import answer

        code = answer(argv)
    except (KeyboardInterrupt, Exception):
        if not seen:
            raise
        code = _FAILED
    if code == _FAILED and seen:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stderr.write("llmopt: interrupted\n")
        return _INTERRUPTED
    if mine and code != _INTERRUPTED:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return code
