"""What a request will do, shown before it starts. Asks engines for their version: off the event loop."""

from __future__ import annotations

from core.benchmark.compare.spec import BenchmarkCompareSpec, CompareTarget
from core.benchmark.machine.shapes import has_experts, products_of
from core.benchmark.machine.spec import BenchmarkMachineSpec
from core.benchmark.serve.check import ServerCheck
from core.benchmark.spec import PACED, BenchmarkSpec
from core.engine import Found, ServeSpec, look_up
from core.runs.launch.admission import Admission
from tui.benchmark.names import is_url
from tui.experiment.fit import Fit
from tui.widgets import words


def benchmark(spec: BenchmarkSpec, admission: Admission) -> Fit:
    """Which server, which requests, and how long they take."""
    found: ServerCheck | None = admission.answer
    if found is not None:
        first, *rest = _started(found)
        return Fit(lines=(first, *_load(spec), *rest), command=found.command.shown())
    title = look_up(spec.engine_name).facts.title
    key = f", key from {spec.key_env}" if spec.key_env else ", key from OPENAI_API_KEY if set" if spec.model.startswith("https://") else ""
    lines = (("attaches to", f"{title} at {spec.model}{key}; nothing is started"), *_load(spec))
    warnings = ("the server's certificate is not checked",) if spec.insecure else ()
    return Fit(lines=lines, warnings=warnings, command=spec.model)


def comparison(spec: BenchmarkCompareSpec, _admission: Admission) -> Fit:
    """Which targets are measured, and which are left out."""
    rows = [(target.label, _installed(target)) for target in spec.chosen]
    return Fit(lines=(*rows, *_load(spec)))


def server(spec: ServeSpec, admission: Admission) -> Fit:
    """The server's version and command."""
    found: ServerCheck = admission.answer
    local = spec.host in ("127.0.0.1", "localhost", "::1")
    warnings = () if local else (f"other machines can reach it: it listens on {spec.host}, without a key",)
    return Fit(lines=_started(found, spec.port), warnings=warnings, command=found.command.shown())


def machine(spec: BenchmarkMachineSpec, admission: Admission) -> Fit:
    """Which products are measured."""
    card = admission.require_card()
    products = products_of(card)
    prefill = sum(product.prefill for product in products)
    each = len(spec.dtypes) * (len(spec.sizes) + len(spec.batches) * len(products) + prefill)
    shapes = ", ".join(f"{product.name} {words.count(product.outputs)} x {words.count(product.inputs)}" for product in products)
    lines = (
        ("squares", f"{', '.join(map(str, spec.sizes))} in {', '.join(spec.dtypes)}"),
        ("model", shapes),
        ("rows", f"{', '.join(map(str, spec.batches))} while it decodes, {words.count(spec.prompt_tokens)} of a prompt"),
        ("memory", "four times the last-level cache, at least 256 MiB" if spec.memory_bytes is None else words.size(spec.memory_bytes)),
        ("in total", f"{words.count(each)} products of {words.count(spec.repeats)} repeats on each device, copying and reading"),
    )
    warnings = ("products of experts are excluded: the router decides how many rows each gets",) if has_experts(card) else ()
    return Fit(lines=lines, warnings=warnings)


def _installed(target: CompareTarget) -> str:
    """The version of a target's engine, or why it will be left out."""
    if is_url(target.model):
        return f"at {target.model}"
    engine = look_up(target.engine)
    found = engine.find()
    return f"{engine.facts.title} {found.version}" if isinstance(found, Found) else f"is skipped: {found.reason}"


def _started(found: ServerCheck, port: int = 0) -> tuple[tuple[str, str], ...]:
    """What is shown of a server that is started; `port` is the requested one."""
    place = "" if port else f", on a free port instead of {found.facts.port}"
    tried = "run for real" if found.facts.tried == "for real" else "tested against its protocol"
    return (
        ("engine", f"{found.facts.title} {found.version}, {tried}"),
        ("starts", f"{found.command.shown()}{place}"),
        *(("note", note) for note in found.command.notes),
    )


def _load(spec: BenchmarkSpec) -> tuple[tuple[str, str], ...]:
    return (("sends", f"{_requests(spec)}, {_texts(spec)}"), ("takes", _time(spec)))


def _requests(spec: BenchmarkSpec) -> str:
    if spec.load == "trace":
        return f"the requests of the trace at {spec.trace_speed:g} times its speed"
    count = words.count(spec.requests)
    if spec.load == "sweep":
        levels = ", ".join(f"{level:g}" for level in spec.levels) or "levels doubled until throughput stops rising"
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
        return f"about {words.duration(spec.requests / spec.rate)} at {spec.rate:g} requests per second (estimate){ends}"
    if spec.load == "ramp" and spec.duration is not None:
        return f"{words.duration(spec.duration)}, from {spec.rate:g} to {spec.ramp_to:g} requests per second"
    return f"as long as the server needs{ends}"
