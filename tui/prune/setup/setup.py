"""What to do: the form of a pruning, and beneath it whether that fits this machine."""

from __future__ import annotations

from functools import partial

from core.prune.check import FitCheck
from core.prune.methods import METHODS
from core.prune.spec import PruneSpec
from core.runs.launch.admission import Admission
from tui.experiment import setup
from tui.experiment.fit import Fit
from tui.prune.setup.guide import guide, sections
from tui.prune.setup.options import method_options
from tui.widgets import words
from tui.widgets.card_facts import millions
from tui.widgets.form.table_picker import PickedChoice


class SetupView(setup.SetupView[PruneSpec]):
    """The method is chosen from a table; what the removal gains is said before it begins."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(PruneSpec, _foreseen, sections(), {"method": partial(PickedChoice, read=method_options)}, guide, id=id)


def _foreseen(spec: PruneSpec, admission: Admission) -> Fit:
    found: FitCheck = admission.answer
    lines = (
        ("estimate", f"checkpoint {words.size(found.bytes_after)} from {words.size(found.bytes_before)}"),
        ("", _parameters(found)),
        ("", f"{words.size(found.peak_memory_bytes)} peak memory, {words.size(found.memory_available)} free"),
        ("speed", _speed(spec, found)),
    )
    return Fit(lines=lines, warnings=found.warnings)


def _parameters(found: FitCheck) -> str:
    if found.parameters_after < found.parameters_before:
        removed = 1 - found.parameters_after / found.parameters_before
        return f"{millions(found.parameters_after)} parameters from {millions(found.parameters_before)}, {words.percent(removed, 1)} fewer"
    return f"{millions(found.weights_removed)} of {millions(found.parameters_before)} weights become zero and stay in the file"


def _speed(spec: PruneSpec, found: FitCheck) -> str:
    """What can be expected in speed, and whether it is measured."""
    request = spec.request
    kept = "" if request.keep is None else f"; {spec.keep} keeps {request.keep[0]} of every {request.keep[1]} weights"
    gained = "" if METHODS[spec.method].shrinks else f"zeros bring none on a CPU{kept}; "
    if not spec.speed_tokens:
        return f"{gained}not measured: speed tokens is 0"
    return gained + ("measured before and after" if found.speed_measured else "not measured: both models do not fit in memory together")
