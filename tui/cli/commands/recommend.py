"""`llmopt recommend`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from core.hardware.plan.advise import Number, Recommendation, UseCase
from core.hardware.plan.advise import recommend as advise
from core.measure.units import number, size
from core.models.well_known import planned_card
from core.quantize.advice import refusal
from tui.cli.options import command_line
from tui.cli.planning import Gpu, Gpus, Json, Model, machine_of
from tui.cli.printing.output import narrate, print_document, print_facts, print_verbatim

ABSENT = "MODEL"
"""Stands in commands for a model of which only the configuration is known."""


def recommend(
    model: Model,
    /,
    *,
    use_case: Annotated[UseCase, Parameter(help="What to optimize for")] = "general",
    context: Annotated[int | None, Parameter(help="Tokens per sequence; default: 4096, or the model's if shorter")] = None,
    concurrency: Annotated[int | None, Parameter(help="Sequences at once; default: from the use case")] = None,
    gpu: Gpu = None,
    gpus: Gpus = 1,
    json: Json = False,
) -> int:
    """Recommend an engine and a format for a model on this machine or on a named GPU, with numbers, reason and command."""
    card, machine = planned_card(model), machine_of(gpu, gpus)
    absent = not card.file_bytes
    answers = advise(
        card,
        machine,
        use_case,
        context=context,
        concurrency=concurrency,
        model=ABSENT if absent else model,
        refused=lambda action: refusal(action, card),
    )
    if json:
        body = {"model": card.name, "use_case": use_case, "machine": machine.to_json(), "recommendations": [answer.to_json() for answer in answers]}
        print_document("recommend", body)
        return 0
    for place, answer in enumerate(answers, 1):
        if place > 1:
            print()
        _print(place, answer)
    if absent:
        narrate(f"note: {card.name} is not here: put its folder or Hugging Face id in place of {ABSENT} once it is fetched")
    return 0


def _print(place: int, answer: Recommendation) -> None:
    title = answer.title + ("" if answer.why_not is None else "  (not possible here)")
    figures = ", ".join(f"{figure.name} {_figure(figure)}" for figure in answer.numbers)
    texts = [answer.why_not, answer.reason, answer.statement, f"{answer.label}: {figures}" if figures else None]
    print_facts([(f"{place}.", title), *(("", text) for text in texts if text)])
    made = [command_line("quantize", answer.action)] if answer.action is not None else []
    # Commands stand on lines of their own, uncut, to be copied.
    for command in (*made, *answer.prepare, answer.command):
        if command:
            print_verbatim(command)


def _figure(figure: Number) -> str:
    if figure.unit == "byte":
        return size(figure.value)
    return f"{number(round(figure.value))} {figure.unit}{'s' if figure.value != 1 and figure.unit.isalpha() else ''}"
