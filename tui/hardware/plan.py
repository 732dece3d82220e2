"""What is planned for, and the answers of the estimator and the advisor to it. No screen here; called in a thread."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from core.errors import LlmoptError, RequestError
from core.hardware.plan.advise import USE_CASES, Recommendation, UseCase, recommend
from core.hardware.plan.estimate import Estimate, estimate
from core.hardware.plan.formats import KV_FORMATS, STORED, WEIGHT_FORMATS
from core.hardware.plan.machine import NAMED, Machine
from core.models.card import ModelCard
from core.quantize.advice import refusal

if TYPE_CHECKING:
    from tui.services.services import Models, Services

HERE = "this machine"
MACHINES = (HERE, *NAMED)
WEIGHTS = (*WEIGHT_FORMATS, STORED)
CACHES = tuple(KV_FORMATS)
USES = USE_CASES


@dataclass(frozen=True)
class Request:
    """The plan's form, filled in."""

    model: str
    machine: str = HERE
    gpus: int = 1
    use: UseCase = "general"
    context: int = 4096
    concurrency: int = 8
    weights: str = "bf16"
    kv: str = "fp16"


@dataclass(frozen=True)
class Step:
    """One command of a recommendation, and what it is for."""

    purpose: str
    command: str


@dataclass(frozen=True)
class Answer:
    """What fits, and what to do. A problem replaces the part that it prevents."""

    request: Request
    estimate: Estimate | None = None
    estimate_problem: str = ""
    advice: tuple[Recommendation, ...] = ()
    advice_problem: str = ""
    steps: tuple[tuple[Step, ...], ...] = ()
    """Of each recommendation."""


@dataclass
class Planner:
    """Answers requests; remembers the cards of models."""

    services: Services
    _cards: dict[str, ModelCard] = field(default_factory=dict)

    def answer(self, request: Request) -> Answer:
        """Both answers; never raises for a wrong request."""
        try:
            card = self._card(self.services.models, request.model)
            machine = self._machine(request)
        except LlmoptError as error:
            return Answer(request, estimate_problem=str(error), advice_problem=str(error))
        request_in_context = replace(request, context=min(request.context, card.context))
        budget, budget_problem = _estimate(card, machine, request_in_context)
        advice, advice_problem = _advise(card, machine, request_in_context)
        return Answer(request, budget, budget_problem, advice, advice_problem, tuple(map(_steps, advice)))

    def _card(self, models: Models, name: str) -> ModelCard:
        if name not in self._cards:
            self._cards[name] = models.resolve(name).card()
        return self._cards[name]

    def _machine(self, request: Request) -> Machine:
        latest = self.services.sampler.latest
        here = Machine.from_snapshot(latest) if latest is not None else Machine.here()
        return here if request.machine == HERE else here.with_gpus(request.machine, request.gpus)


def _estimate(card: ModelCard, machine: Machine, request: Request) -> tuple[Estimate | None, str]:
    try:
        return (
            estimate(
                card,
                machine,
                context=request.context,
                concurrency=request.concurrency,
                weights=request.weights,
                kv=request.kv,
                tensor_parallel=request.gpus,
            ),
            "",
        )
    except RequestError as error:
        return None, str(error)


def _advise(card: ModelCard, machine: Machine, request: Request) -> tuple[tuple[Recommendation, ...], str]:
    try:
        found = recommend(
            card,
            machine,
            request.use,
            context=request.context,
            concurrency=request.concurrency,
            model=request.model,
            refused=lambda action: refusal(action, card),
        )
    except RequestError as error:
        return (), str(error)
    return tuple(found), ""


def _steps(advice: Recommendation) -> tuple[Step, ...]:
    steps = []
    if advice.action is not None:
        from tui.cli.options import command_line

        steps.append(Step("make the checkpoint", command_line("quantize", advice.action)))
    steps += [Step("prepare", command) for command in advice.prepare]
    if advice.command:
        steps.append(Step("serve", advice.command))
    return tuple(steps)
