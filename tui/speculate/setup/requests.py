"""What is asked for when a start key is pressed. Pure."""

from __future__ import annotations

from core.speculate.lossless.spec import SpeculateTestSpec
from core.speculate.spec import DraftingSpec, SpeculateSpec


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
