"""What a request to evaluate must fulfil: form, command line and run refuse alike."""

from __future__ import annotations

from core.errors import RequestError
from core.evaluate.spec import EvaluateSpec
from core.formats.gguf.llama.process import require_llama_cpp
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.sanitize import clean


def check(spec: EvaluateSpec, card: ModelCard) -> None:
    """Nothing, when the model and its reference can be evaluated as asked.

    Raises:
        RequestError: a model has fewer positions than the context, or another vocabulary than the reference.
    """
    cards = [card]
    if spec.engine == "llama.cpp":
        require_llama_cpp("engine llama.cpp")
        if resolve(spec.model).kind != "gguf":
            raise RequestError(f"llama.cpp runs GGUF files, and {clean(card.name)} is not one: create one with llmopt quantize --method gguf")
    if spec.reference is not None:
        cards.append(resolve(spec.reference).card())
    for of_model in cards:
        check_context(of_model, spec.context)
    if len({of_model.vocabulary for of_model in cards}) > 1:
        sizes = " and ".join(f"{clean(of_model.name)} {of_model.vocabulary}" for of_model in cards)
        raise RequestError(
            f"the models cannot be compared token by token, their vocabularies differ ({sizes}): choose a reference of the same family"
        )


def check_context(card: ModelCard, context: int) -> None:
    """Nothing, when the model has positions for a window of `context` tokens. Raises RequestError: it has fewer."""
    if card.context and context > card.context:
        raise RequestError(
            f"context {context} is more than the {card.context} positions of {clean(card.name)}: give --context {card.context} or less"
        )
