"""What is foreseen of a request, told before anything starts."""

from __future__ import annotations

from core.errors import LlmoptError
from core.speculate.spec import DraftingSpec
from tui.experiment.fit import NOT_HERE, Fit, must_be_fetched
from tui.services import Models


def probe(models: Models, spec: DraftingSpec) -> Fit:
    """Read the cards of the models and check the request against them. Touches the disk: call it off the event loop."""
    if must_be_fetched(spec.model) or (spec.draft and must_be_fetched(spec.draft)):
        return NOT_HERE
    try:
        models.resolve(spec.model).card()
    except LlmoptError as error:
        return Fit(refusal=str(error))
    return Fit()
