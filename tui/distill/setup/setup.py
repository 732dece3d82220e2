"""What to do: the form of a distillation, and beneath it what that will take."""

from __future__ import annotations

from core.distill.check import DistillFit
from core.distill.spec import DistillSpec
from core.runs.launch.admission import Admission
from tui.distill.setup.guide import OPEN, guide
from tui.experiment import setup
from tui.experiment.fit import Fit
from tui.widgets import words
from tui.widgets.card_facts import millions
from tui.widgets.form.fields.model import ModelEditor


class SetupView(setup.SetupView[DistillSpec]):
    """Teacher, student and loss; memory and tokens are foreseen."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(DistillSpec, _foreseen, setup.sections(DistillSpec, OPEN), {"student": ModelEditor}, guide, id=id)


def _foreseen(spec: DistillSpec, admission: Admission) -> Fit:
    found: DistillFit = admission.answer
    share = found.parameters_student / max(found.parameters_teacher, 1)
    lines = (
        (
            "student",
            f"{millions(found.parameters_student)} of the teacher's {millions(found.parameters_teacher)} parameters, {words.percent(share, 1)}",
        ),
        ("estimate", f"{words.size(found.peak_memory_bytes)} peak memory, {words.size(found.memory_available)} free"),
        *([("on disk", f"{words.size(found.kept_bytes)} of the teacher's predictions at most")] if found.kept_bytes else []),
        ("learns", f"{words.count(found.tokens)} tokens in {words.count(spec.steps)} steps: {spec.objective}"),
    )
    return Fit(lines=lines, warnings=found.warnings)
