"""Whether quantize would carry out what the advisor recommends: the same spec and the same check."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from core.errors import RequestError
from core.models.card import ModelCard
from core.quantize.check import check
from core.quantize.spec import QuantizeSpec


def refusal(action: Mapping[str, object], card: ModelCard) -> str | None:
    """The sentence with which quantize refuses these values of its form for this model; None when it accepts them.

    That the output folder exists is not asked: whoever follows the advice twice has it already.
    """
    try:
        check(QuantizeSpec.model_validate({name: value for name, value in action.items() if name != "out"}), card)
    except RequestError as error:
        return str(error)
    except ValidationError as error:
        return str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    return None
