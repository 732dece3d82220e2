"""What `llmopt` does with its arguments, and what it says when that goes wrong."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback

from core.errors import EarlyEnd
from core.sanitize import clean

_ERROR = 1
_INTERRUPTED = 130


def answer(argv: list[str] | None = None) -> int:
    """As `tui.cli.main`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    debug = "--debug" in options
    if debug:
        arguments.remove("--debug")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _answer(arguments, options, debug)
    except BrokenPipeError:
        # Whoever read stdout has seen enough, for example `head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _answer(arguments: list[str], options: list[str], debug: bool) -> int:
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return _complain("interrupted", _INTERRUPTED, options)
    except EarlyEnd as error:
        if debug:
            traceback.print_exc()
        return _complain(str(error), error.exit_code, options)
    except BrokenPipeError:
        raise
    except Exception as error:
        if debug:
            traceback.print_exc()
        hint = "" if debug else " (run again with --debug for the traceback)"
        return _complain(f"{type(error).__name__}: {error}{hint}", _ERROR, options)


def _run(arguments: list[str]) -> int:
    from cyclopts import CycloptsError

    from core.errors import RequestError
    from tui.cli.app import build

    try:
        code = build(arguments)(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise RequestError(_one_line(str(error))) from error
    sys.stdout.flush()
    return _final(code if isinstance(code, int) else 0)


def _final(code: int) -> int:
    """The exit code. What was interrupted is ending: another ctrl+c on the way out changes nothing."""
    if code == _INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _complain(text: str, code: int, options: list[str]) -> int:
    """The sentence on stderr; with --json also the one document that stdout owes."""
    _final(code)
    sentence = clean(_one_line(text), limit=2000)
    print(f"llmopt: {sentence}", file=sys.stderr)
    if "--json" in options:
        from tui.cli.printing.output import print_document

        print_document("error", {"error": sentence, "exit_code": code})
        sys.stdout.flush()
    return code
