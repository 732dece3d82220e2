"""What can be run, as data: nothing is imported before a spec is built or a run starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from core.context import RunContext
from core.errors import RequestError
from core.result import Result
from core.spec import Spec

T = TypeVar("T", Spec, Result)
RunFunction = Callable[[Any, RunContext], Result]


@dataclass(frozen=True)
class Capability:
    """The folder of an experiment: its `spec`, `result` and `run` are found by name, and only `run` may import torch."""

    package: str
    name: str
    """Of its classes: `{name}Spec` and `{name}Result`."""
    title: str
    check: str = ""
    """`module:name` of a function of (spec, model card) that refuses what does not fit together; none when empty."""
    needs_folder: bool = True
    """Whether a .gguf file is refused."""
    takes_addresses: bool = False
    """Whether the model may be the address of a server; its check then has no card."""
    elsewhere: str = ""
    """A function of a spec: whether the model is a name that this program cannot look up; the check then has no card. Empty: never."""
    needs_unquantized: bool = False
    """Whether a checkpoint that is quantized already is refused."""
    resumable: bool = False
    """Whether a run that was stopped continues from what it kept."""
    pausable: bool = False
    """Whether a run can wait in its middle and go on."""
    finishable: bool = False
    """Whether a run can come to its end early with what it has."""
    report: str = ""
    """A function of named results that makes a `core.runs.export.report.Report`; none when empty: the figures alone are exported."""
    pareto: str = ""
    """A function of a finished run that gives `core.runs.pareto.Candidate`s; none when empty: it makes no model smaller."""
    differences: str = ""
    """A function of two results that says which figures differ beyond noise; none when empty."""


CAPABILITIES: dict[str, Capability] = {
    "quantize": Capability(
        "core.quantize",
        "Quantize",
        "Quantize",
        check="core.quantize.check:check",
        needs_unquantized=True,
        resumable=True,
        pareto="core.quantize.points:of_run",
    ),
    "quantize-compare": Capability(
        "core.quantize.compare",
        "QuantizeCompare",
        "Compare quantizations",
        check="core.quantize.compare.check:check",
        needs_unquantized=True,
        pareto="core.quantize.points:of_comparison",
    ),
    "prune": Capability(
        "core.prune",
        "Prune",
        "Prune",
        check="core.prune.check:check",
        needs_unquantized=True,
        resumable=True,
        pareto="core.prune.points:of_run",
    ),
    "prune-compare": Capability(
        "core.prune.compare",
        "PruneCompare",
        "Compare prunings",
        check="core.prune.compare.check:check",
        needs_unquantized=True,
        pareto="core.prune.points:of_comparison",
    ),
    "distill": Capability(
        "core.distill",
        "Distill",
        "Distill",
        check="core.distill.check:check",
        resumable=True,
        finishable=True,
        pareto="core.distill.points:of_run",
    ),
    "distill-compare": Capability(
        "core.distill.compare",
        "DistillCompare",
        "Compare distillations",
        check="core.distill.compare.check:check",
        pareto="core.distill.points:of_comparison",
    ),
    "distill-data": Capability(
        "core.distill.data",
        "DistillData",
        "Distill data",
        check="core.distill.data.check:check",
        needs_folder=False,
        takes_addresses=True,
        resumable=True,
    ),
    "verify": Capability("core.evaluate.verify", "Verify", "Verify", needs_folder=False),
    "evaluate": Capability("core.evaluate", "Evaluate", "Evaluate", check="core.evaluate.check:check", needs_folder=False),
    "kv-cache": Capability("core.kvcache", "KvCache", "KV cache", check="core.kvcache.check:check", needs_folder=False),
    "speculate": Capability("core.speculate", "Speculate", "Speculate", check="core.speculate.check:check"),
    "speculate-test": Capability("core.speculate.lossless", "SpeculateTest", "Test losslessness", check="core.speculate.lossless.check:check"),
    "kv-cache-why": Capability("core.kvcache.why", "KvCacheWhy", "Why a KV cache", check="core.kvcache.why.check:check", needs_folder=False),
    "kv-cache-pages": Capability("core.kvcache.pages", "Pages", "Pages of a KV cache", check="core.kvcache.pages.check:check", needs_folder=False),
    "benchmark": Capability(
        "core.benchmark",
        "Benchmark",
        "Benchmark",
        check="core.benchmark.check:check",
        needs_folder=False,
        takes_addresses=True,
        pausable=True,
        report="core.benchmark.report:report",
        differences="core.benchmark.report.differences:differences",
    ),
    "benchmark-compare": Capability(
        "core.benchmark.compare",
        "BenchmarkCompare",
        "Compare engines",
        check="core.benchmark.compare.check:check",
        needs_folder=False,
        pausable=True,
        report="core.benchmark.report:report",
        differences="core.benchmark.report.differences:differences",
    ),
    "benchmark-machine": Capability(
        "core.benchmark.machine", "BenchmarkMachine", "Measure the machine", needs_folder=False, report="core.benchmark.machine.report:report"
    ),
    "serve": Capability(
        "core.benchmark.serve",
        "Serve",
        "Serve",
        check="core.benchmark.serve.check:check",
        needs_folder=False,
        elsewhere="core.engine:has_library",
    ),
}


def capability(key: str) -> Capability:
    """The entry of `key`. Raises RequestError: there is none."""
    try:
        return CAPABILITIES[key]
    except KeyError:
        raise RequestError(f"unknown capability {key!r}: this version has {', '.join(sorted(CAPABILITIES))}") from None


def spec_class(key: str) -> type[Spec]:
    """The spec of a capability, without torch."""
    return _class(key, Spec)


def result_class(key: str) -> type[Result]:
    """The result of a capability, without torch."""
    return _class(key, Result)


def _class(key: str, kind: type[T]) -> type[T]:
    entry, name = capability(key), kind.__name__
    reference = f"{entry.package}.{name.lower()}:{entry.name}{name}"
    found = load(reference)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise TypeError(f"{reference} is not a {name}")
    return found


def run_function(key: str) -> RunFunction:
    """The function that carries a spec out. Imports torch: only in a worker."""
    function: RunFunction = load(f"{capability(key).package}.run:run")
    return function


def load(reference: str) -> Any:
    """The object that `module:name` names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
