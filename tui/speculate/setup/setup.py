"""What to measure: the form, and beneath it what is foreseen."""

from __future__ import annotations

from collections.abc import Mapping

from core.runs.launch.admission import Admission
from core.speculate.spec import BUNDLED_PAIRS, DraftingSpec, SpeculateSpec
from tui.experiment.fit import Fit
from tui.experiment.setup import SetupView
from tui.speculate.drafting import Drafting
from tui.speculate.setup.fit import lines
from tui.widgets.form.fields.guide import Guidance
from tui.widgets.form.fields.model import ModelEditor

_OPEN = ("drafter", "draft", "gamma", "ngram_min", "ngram_max", "keep_layers", "skip_layers", "medusa_heads", "acceptance", "temperature")
"""Fields without a fold, after the model."""
_ABOUT = {
    "model": "a small model of the same vocabulary drafts",
    "lookup": "n-grams are looked up in the text so far: no computation",
    "layers": "the target's own blocks, some skipped, draft",
    "medusa": "heads on the target's last hidden state draft a tree",
}


def sections() -> list[tuple[str, list[str]]]:
    """The form's sections: who drafts and how much without a title, the rest behind folds."""
    rest = [(title, [name for name in names if name not in ("model", *_OPEN)]) for title, names in SpeculateSpec.sections]
    return [("", ["model", *_OPEN]), *((title, names) for title, names in rest if names)]


def guide(given: Mapping[str, object]) -> Guidance:
    """What follows from the fields that were given."""
    asked = Drafting.read(given) or Drafting()
    paired = BUNDLED_PAIRS.get(asked.model)
    return Guidance(
        defaults={"draft": paired} if asked.drafter == "model" and paired else {},
        hidden=frozenset({"prompt_tokens", "task"} if asked.prompt else ()),
        help={"drafter": f"{asked.drafter}: {_ABOUT[asked.drafter]}"} if asked.drafter in _ABOUT else {},
    )


class SpeculateSetup(SetupView[SpeculateSpec]):
    """The form of a measurement; the test of losslessness takes its drafter and its sampling from it."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(SpeculateSpec, sections(), {"draft": ModelEditor}, guide, id=id)

    def foreseen(self, spec: DraftingSpec, found: Admission) -> Fit:
        return Fit(lines=lines(spec, found.answer), warnings=found.answer.warnings)
