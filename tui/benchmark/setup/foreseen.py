"""What a request will do, told before it starts. Reads models' cards and asks engines for their version: off the event loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.benchmark import check
from core.benchmark.compare import check as compare_check
from core.benchmark.compare.spec import BenchmarkCompareSpec, CompareTarget
from core.benchmark.machine.shapes import has_experts, products_of
from core.benchmark.machine.spec import BenchmarkMachineSpec
from core.benchmark.serve import check as serve_check
from core.benchmark.server.target import serve_spec
from core.benchmark.spec import PACED, BenchmarkSpec
from core.engine import Found, ServeSpec, look_up
from core.errors import LlmoptError
from core.models.card import ModelCard
from tui.benchmark.names import is_url
from tui.experiment.fit import NOT_HERE, Fit, must_be_fetched
from tui.services.services import Models
from tui.widgets import words

_TEMPLATE = 64
"""Tokens that a chat template may add."""


@dataclass(frozen=True)
class Foreseen:
    """The verdict, and what can be copied of it."""

    fit: Fit
    command: str = ""
    """Of the server that would be started."""


def benchmark(models: Models, spec: BenchmarkSpec) -> Foreseen:
    """Which server, which requests, and how long they take."""
    if spec.is_url:
        return _judged(lambda: _attached(spec))
    if must_be_fetched(spec.model):
        return Foreseen(NOT_HERE)
    return _judged(lambda: _started(spec, models.resolve(spec.model).card()))


def comparison(models: Models, spec: BenchmarkCompareSpec) -> Foreseen:
    """Which targets are measured, and which are left out."""
    if must_be_fetched(spec.model):
        return Foreseen(NOT_HERE)
    return _judged(lambda: _compared(spec, models.resolve(spec.model).card()))


def server(models: Models, spec: ServeSpec) -> Foreseen:
    """The server's version and command."""
    if must_be_fetched(spec.model):
        return Foreseen(NOT_HERE)

    def judge() -> Foreseen:
        serve_check.check(spec, models.resolve(spec.model).card())
        lines, command = _command(spec)
        warnings = (
            () if spec.host in ("127.0.0.1", "localhost", "::1") else (f"other machines can reach it: it listens on {spec.host}, without a key",)
        )
        return Foreseen(Fit(lines=lines, warnings=warnings), command)

    return _judged(judge)


def machine(models: Models, spec: BenchmarkMachineSpec) -> Foreseen:
    """Which products are measured."""
    if must_be_fetched(spec.model):
        return Foreseen(NOT_HERE)
    return _judged(lambda: _products(spec, models.resolve(spec.model).card()))


def _judged(judge: Callable[[], Foreseen]) -> Foreseen:
    try:
        return judge()
    except LlmoptError as error:
        return Foreseen(Fit(refusal=str(error)))


def _attached(spec: BenchmarkSpec) -> Foreseen:
    check.check(spec, None)
    facts = look_up(spec.engine_name).facts
    key = f", key from {spec.key_env}" if spec.key_env else ", key from OPENAI_API_KEY if set" if spec.model.startswith("https://") else ""
    lines = (("attaches to", f"{facts.title} at {spec.model}{key}; nothing is started"), *_load(spec))
    warnings = ("the server's certificate is not checked",) if spec.insecure else ()
    return Foreseen(Fit(lines=lines, warnings=warnings))


def _started(spec: BenchmarkSpec, card: ModelCard) -> Foreseen:
    check.check(spec, card)
    asked = serve_spec(spec, min(spec.input_tokens + spec.output_tokens + _TEMPLATE, card.context))
    serve_check.check(asked, card)
    lines, command = _command(asked)
    return Foreseen(Fit(lines=(lines[0], *_load(spec), *lines[1:])), command)


def _compared(spec: BenchmarkCompareSpec, card: ModelCard) -> Foreseen:
    compare_check.check(spec, card)
    rows = [(target.label, _installed(target)) for target in spec.chosen]
    return Foreseen(Fit(lines=(*rows, *_load(spec))))


def _products(spec: BenchmarkMachineSpec, card: ModelCard) -> Foreseen:
    products = products_of(card)
    prefill = sum(product.prefill for product in products)
    each = len(spec.dtypes) * (len(spec.sizes) + len(spec.batches) * len(products) + prefill)
    shapes = ", ".join(f"{product.name} {words.count(product.outputs)} x {words.count(product.inputs)}" for product in products)
    lines = (
        ("squares", f"{', '.join(map(str, spec.sizes))} in {', '.join(spec.dtypes)}"),
        ("model", shapes),
        ("rows", f"{', '.join(map(str, spec.batches))} while it decodes, {words.count(spec.prompt_tokens)} of a prompt"),
        ("memory", "four times the last cache, 256 MiB at least" if spec.memory_bytes is None else words.size(spec.memory_bytes)),
        ("in all", f"{words.count(each)} products of {words.count(spec.repeats)} repeats on each device, copying and reading"),
    )
    warnings = ("products of experts are left out: how many rows each gets is the router's choice",) if has_experts(card) else ()
    return Foreseen(Fit(lines=lines, warnings=warnings))


def _installed(target: CompareTarget) -> str:
    """The version of a target's engine, or why it will be left out."""
    if is_url(target.model):
        return f"at {target.model}"
    engine = look_up(target.engine)
    found = engine.find()
    return f"{engine.facts.title} {found.version}" if isinstance(found, Found) else f"is left out: {found.reason}"


def _command(spec: ServeSpec) -> tuple[tuple[tuple[str, str], ...], str]:
    """What is told of a server that is started, and its command. The engine is known to be installed."""
    engine = look_up(spec.engine)
    found = engine.find()
    assert isinstance(found, Found)
    port = spec.port or engine.facts.port
    command = engine.command(spec.model_copy(update={"port": port}), found, port)
    place = "" if spec.port else f", on a free port instead of {port}"
    lines = [
        ("engine", f"{engine.facts.title} {found.version}, {'run for real' if engine.facts.tried == 'for real' else 'tested against its protocol'}"),
        ("starts", f"{command.shown()}{place}"),
        *(("note", note) for note in command.notes),
    ]
    return tuple(lines), command.shown()


def _load(spec: BenchmarkSpec) -> tuple[tuple[str, str], ...]:
    return (("sends", f"{_requests(spec)}, {_texts(spec)}"), ("takes", _time(spec)))


def _requests(spec: BenchmarkSpec) -> str:
    if spec.load == "trace":
        return f"the requests of the trace at {spec.trace_speed:g} times its speed"
    count = words.count(spec.requests)
    if spec.load == "sweep":
        levels = ", ".join(f"{level:g}" for level in spec.levels) or "levels doubled until the throughput stands still"
        return f"{count} requests at each level of the {spec.sweep}: {levels}"
    limit = spec.in_flight
    at_once = "" if limit is None else ", one at a time" if limit == 1 else f", {words.count(limit)} at once"
    return f"{count} requests{at_once}" + (f", {words.count(spec.warmup)} more to warm up" if spec.warmup else "")


def _texts(spec: BenchmarkSpec) -> str:
    if spec.prompts != "builtin" or spec.load == "trace":
        return "texts of the file"
    return f"{words.count(spec.input_tokens)} tokens in, {words.count(spec.output_tokens)} out"


def _time(spec: BenchmarkSpec) -> str:
    ends = "" if spec.duration is None else f", {words.duration(spec.duration)} at most"
    if spec.load in PACED:
        return f"about {words.duration(spec.requests / spec.rate)} at {spec.rate:g} requests a second (estimate){ends}"
    if spec.load == "ramp" and spec.duration is not None:
        return f"{words.duration(spec.duration)}, from {spec.rate:g} to {spec.ramp_to:g} requests a second"
    return f"as long as the server needs{ends}"
