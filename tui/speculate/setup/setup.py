"""What to measure: the form, and beneath it what is foreseen."""

from __future__ import annotations

from collections.abc import Mapping

from core.runs.launch.admission import Admission
from core.speculate.forecast import ASSUMED_ALPHA, SpeculateFit
from core.speculate.lossless.spec import SpeculateTestSpec
from core.speculate.spec import BUNDLED_PAIRS, DraftingSpec, SpeculateSpec
from tui.experiment.fit import Fit
from tui.experiment.setup import SetupView, sections
from tui.speculate.drafting import Drafting
from tui.widgets import words
from tui.widgets.form.fields.guide import Guidance
from tui.widgets.form.fields.model import ModelEditor

_OPEN = ("model", "drafter", "draft", "gamma", "ngram_min", "ngram_max", "keep_layers", "skip_layers", "medusa_heads", "acceptance", "temperature")
"""Fields without a fold."""
_ABOUT = {
    "model": "a small model of the same vocabulary drafts",
    "lookup": "n-grams are looked up in the text so far: no computation",
    "layers": "the target's own blocks, some skipped, draft",
    "medusa": "heads on the target's last hidden state draft a tree",
}


def guide(given: Mapping[str, object]) -> Guidance:
    """What follows from the fields that were given."""
    asked = Drafting.of_values(given) or Drafting()
    paired = BUNDLED_PAIRS.get(asked.model)
    return Guidance(
        defaults={"draft": paired} if asked.drafter == "model" and paired else {},
        hidden=frozenset({"prompt_tokens", "task"} if asked.prompt else ()),
        help={"drafter": f"{asked.drafter}: {_ABOUT[asked.drafter]}"} if asked.drafter in _ABOUT else {},
    )


def setup(id: str) -> SetupView[SpeculateSpec]:  # noqa: A002
    """The form of a measurement; the test of losslessness takes its drafter and its sampling from it."""
    return SetupView(SpeculateSpec, foreseen, sections(SpeculateSpec, _OPEN), {"draft": ModelEditor}, guide, id=id)


def test_of(spec: SpeculateSpec) -> SpeculateTestSpec:
    """The losslessness test of a request's drafter and sampling.

    A greedy request is tested at the test's own temperature, at which there is a distribution to compare; so is one that keeps all tokens with
    the test's own top-p, which makes a drafter's and a target's tails differ.

    Raises:
        RequestError: it cannot be made of them.
    """
    values = spec.model_dump()
    shared = {name: values[name] for name in DraftingSpec.model_fields if name in values}
    if spec.top_p == SpeculateSpec.model_fields["top_p"].default:
        del shared["top_p"]
    sampled = [temperature for temperature in spec.temperature if temperature > 0]
    found = SpeculateTestSpec.parse(shared | ({"temperature": sampled[0]} if sampled else {}))
    assert isinstance(found, SpeculateTestSpec)
    return found


def foreseen(spec: SpeculateSpec, admission: Admission) -> Fit:
    """The speed-up, the costs that it assumes, and the memory."""
    found: SpeculateFit = admission.answer
    if spec.drafter == "medusa":
        gain = "not predicted: the heads' acceptance is measured in the run"
    else:
        gain = f"{found.predicted_speedup:.2f} times plain decoding at γ {spec.gamma[0]}, {ASSUMED_ALPHA:.0%} acceptance assumed"
    drafting = f"c {words.figure(found.cost_ratio, 3)} from the weights read" if found.cost_ratio else "c next to nothing"
    free = "" if found.memory_available is None else f", {words.size(found.memory_available)} free"
    memory = f"{words.size(found.peak_memory_bytes)} peak memory{free}"
    return Fit(lines=(("estimate", gain), ("", f"{drafting}, v 1 assumed"), ("", memory)), warnings=found.warnings)
