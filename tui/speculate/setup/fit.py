"""What is foreseen of a request, told before anything starts."""

from __future__ import annotations

import psutil

from core.errors import LlmoptError
from core.speculate.check import check
from core.speculate.forecast import ASSUMED_ALPHA, SpeculateFit
from core.speculate.lossless.check import check as check_test
from core.speculate.lossless.spec import SpeculateTestSpec
from core.speculate.spec import DraftingSpec, SpeculateSpec
from tui.experiment.fit import NOT_HERE, Fit, must_be_fetched
from tui.services.services import Models
from tui.widgets import words

_GPU = "cuda"


def probe(models: Models, spec: SpeculateSpec | SpeculateTestSpec) -> Fit:
    """Read the cards of the models and check the request against them. Touches the disk: call it off the event loop."""
    if must_be_fetched(spec.model) or (spec.draft is not None and must_be_fetched(spec.draft)):
        return NOT_HERE
    free = psutil.virtual_memory().available
    try:
        card = models.resolve(spec.model).card()
        found = check_test(spec, card, free) if isinstance(spec, SpeculateTestSpec) else check(spec, card, free)
    except LlmoptError as error:
        return Fit(refusal=str(error))
    return Fit(lines=lines(spec, found, free), warnings=found.warnings)


def lines(spec: DraftingSpec, found: SpeculateFit, memory_free: int) -> tuple[tuple[str, str], ...]:
    """What is foreseen, in words."""
    gamma = spec.gamma[0]
    if spec.drafter == "medusa":
        gain = "not told beforehand: the heads' acceptance is measured in the run"
    else:
        gain = f"{found.predicted_speedup:.2f} times plain decoding at γ {gamma}, {ASSUMED_ALPHA:.0%} acceptance assumed"
    drafting = f"c {words.figure(found.cost_ratio, 3)} by the weights that are read" if found.cost_ratio else "c next to nothing"
    cost = f"{drafting}, v 1 assumed"
    free = "" if spec.device.startswith(_GPU) else f", {words.size(memory_free)} free"
    return (
        ("estimate", gain),
        ("", cost),
        ("", f"{words.size(found.peak_memory_bytes)} peak memory{free}"),
    )
