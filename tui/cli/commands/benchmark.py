"""`llmopt benchmark`, and with --calibrate what the client itself can follow."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

from cyclopts import Group, Parameter

from core.errors import RunFailed
from core.runs.registry import spec_class
from core.runs.state.files import why
from tui.cli.experiment import experiment
from tui.cli.options import from_spec
from tui.cli.printing.output import narrate, print_document, print_facts, print_table

_EXPLANATION = "Load-test a server, a running one (URL) or one started for a model; exit code 3 if a threshold is not met."
_HELP = "Test no server: find how many streams the client can follow on this machine, and save the result"


def _run(model: str | None, **given: Any) -> int:
    if given.pop("calibrate", False):
        if without := [name for name in ("MODEL" if model else "", *(f"--{each.replace('_', '-')}" for each in given if each != "json")) if name]:
            narrate(f"note: {', '.join(without)} has no effect with --calibrate")
        return _calibrate(as_json="json" in given and bool(given["json"]))
    return experiment("benchmark", model, given)


def _calibrate(*, as_json: bool) -> int:
    from core.benchmark.calibrate import ceiling
    from core.benchmark.calibrate.calibrate import RATE, Step, calibrate
    from core.benchmark.drive.bench import workers_for

    def report(step: Step) -> None:
        narrate(f"{step.streams} streams: {step.verdict}, p99 of the client's delay {step.lag_p99_ms:.2f} ms")

    found = calibrate(workers_for, on_step=report)
    try:
        path = ceiling.keep(found)
    except OSError as error:
        raise RunFailed(why(error, ceiling.calibration_file())) from error
    if as_json:
        print_document("calibration", found.to_json())
        return 0
    rows = [
        (
            str(step.streams),
            str(step.workers),
            f"{step.lag_p50_ms:.2f}",
            f"{step.lag_p99_ms:.2f}",
            f"{step.ttft_p50_ms:.1f}",
            f"{step.itl_p50_ms:.2f}",
            f"{step.server_late_p99_ms:.2f}",
            f"{step.cpu_us_per_token:.0f}",
            "yes" if step.follows else "no" if step.judged else "not judged",
        )
        for step in found.steps
    ]
    heads = ("streams", "processes", "delay p50", "p99, ms", "TTFT, ms", "ITL, ms", "server p99", "us/token", "follows")
    print_table(rows, heads, right=range(8), shrink=())
    print()
    words = "none" if found.ceiling is None else f"{found.ceiling} streams, {found.ceiling * RATE:.0f} tokens per second"
    print_facts([("the client follows", words), ("ended by", _ENDED_BY[found.limited_by]), ("kept in", str(path))])
    return 0


_ENDED_BY = {
    "": "the largest number tried",
    "client": "the client, which could not follow more",
    "server": "the test server, which ran out of CPU",
}


_FLAG = Annotated[bool, Parameter(help=_HELP, negative="", show_default=False, group=Group("Run", sort_key=99))]
_CALIBRATE = inspect.Parameter("calibrate", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_FLAG)
benchmark = from_spec(_run, spec_class("benchmark"), _EXPLANATION, _CALIBRATE)
