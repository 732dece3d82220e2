"""`llmopt benchmark-compare`: make the formats that are compared, each by an ordinary run of `quantize`, then compare."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Group, Parameter, Token

from core.errors import Cancelled, LlmoptError, RequestError
from core.models.resolve import resolve
from core.runs.launch.admission import admit
from core.runs.launch.begin import begin
from core.runs.registry import spec_class
from core.runs.state import store
from core.runs.state.store import Run
from core.spec import Spec, Values
from tui.cli import experiment, follow
from tui.cli.keys import ask_for_key
from tui.cli.options import from_spec
from tui.cli.printing.output import narrate

_EXPLANATION = (
    "Run the same load on several engines and formats of a model, one after another, and recommend one; "
    "without --targets the formats are quantized first, by runs that are kept and reused."
)
_HELP = "Formats to quantize and compare: int8, int4 (llmopt runtime), f16, q8_0, q4_k_m (llama.cpp), or none; default: all, none with --targets"
_QUICK: Final[Values] = {"eval_tokens": 0}


@dataclass(frozen=True)
class _Format:
    """A checkpoint that is made for one of the targets."""

    label: str
    engine: str
    values: Values
    """Fields of the spec of quantize."""


FORMATS: Final[Mapping[str, _Format]] = {
    "int8": _Format("runtime INT8", "runtime", {"method": "rtn", "bits": 8, "granularity": "channel"}),
    "int4": _Format("runtime INT4", "runtime", {"method": "gptq", "bits": 4}),
    "f16": _Format("llama.cpp F16", "llama-cpp", {"method": "gguf", "level": "F16"}),
    "q8_0": _Format("llama.cpp Q8_0", "llama-cpp", {"method": "gguf", "level": "Q8_0"}),
    "q4_k_m": _Format("llama.cpp Q4_K_M", "llama-cpp", {"method": "gguf", "level": "Q4_K_M"}),
}


def _run(model: str | None, **given: Any) -> int:
    formats: tuple[str, ...] | None = given.pop("formats", None)
    if formats is None:
        formats = () if {"targets", "spec"} & set(given) or model is None or model.endswith(".gguf") else tuple(FORMATS)
    if formats:
        if model is None:
            raise RequestError("formats are quantized from a MODEL: give it, for example bundled:base")
        given |= _with_formats(model, formats, given)
    return experiment.experiment("benchmark-compare", model, given)


def _with_formats(model: str, formats: Sequence[str], given: Values) -> dict[str, object]:
    """Targets and reasons, after the formats are made; the rest of the request is looked at first, as making takes long."""
    from core.benchmark.compare.spec import PLAIN, BenchmarkCompareSpec

    flags = {"json", "detach", "spec"}
    asked = BenchmarkCompareSpec.parse({"model": model} | {name: value for name, value in given.items() if name not in flags})
    ask_for_key(asked)
    admit(asked)
    targets, reasons = list(asked.targets or PLAIN), list(asked.not_made)
    for name in formats:
        chosen = FORMATS[name]
        try:
            targets.append(f"{chosen.label}={chosen.engine}:{_checkpoint(model, chosen, given)}")
        except LlmoptError as error:
            narrate(f"{chosen.label} could not be made: {error}")
            reasons.append(f"{chosen.label}: {error}")
    return {"targets": tuple(targets), "not_made": tuple(reasons)}


def _checkpoint(model: str, chosen: _Format, given: Values) -> Path:
    """What quantize makes of the model, or has made of it before.

    Raises:
        LlmoptError: it cannot be made.
    """
    values = {"model": model, **chosen.values, **_QUICK} | {name: given[name] for name in ("device", "seed") if name in given}
    spec = spec_class("quantize").parse(values)
    run = _earlier(spec)
    if run is not None:
        narrate(f"{chosen.label} is taken from run {run.id}")
    else:
        narrate(f"making {chosen.label}")
        run = _made(spec)
    found = _file(run)
    if found is None:
        raise RequestError(f"run {run.id} left no checkpoint")
    return found


def _made(spec: Spec) -> Run:
    launcher = experiment.launcher()
    run = begin(spec, launcher)
    state = follow.until_over(run, launcher, cancel_on_interrupt=True)
    if state.status == "cancelled":
        raise Cancelled("cancelled")
    if state.status != "done":
        raise RequestError(state.exit_reason or f"run {run.id} {state.status}")
    return run


def _earlier(spec: Spec) -> Run | None:
    """A run that was asked the same after the model was written last, and whose checkpoint is still there."""
    path = resolve(spec.model).path
    written = max((file.stat().st_mtime for file in (path.iterdir() if path.is_dir() else [path])), default=0.0)
    asked = spec.model_dump(mode="json")
    for run in store.list_runs():
        state = run.state
        if run.capability == spec.capability and state.status == "done" and state.created > written and run.values == asked and _file(run):
            return run
    return None


def _file(run: Run) -> Path | None:
    """The checkpoint of a run of quantize: its folder, or the GGUF file in it."""
    result = run.typed_result()
    for artifact in result.artifacts if result is not None else ():
        folder = Path(artifact.path)
        if artifact.kind == "checkpoint" and folder.is_dir():
            return next(iter(sorted(folder.glob("model*.gguf"))), folder)
    return None


def _chosen(_type: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    """`int8,q8_0` as names; `none` as nothing."""
    names = [part.strip().lower() for token in tokens for part in token.value.split(",") if part.strip()]
    if names == ["none"]:
        return ()
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise ValueError(f"there are {', '.join(FORMATS)} and none")
    return tuple(dict.fromkeys(names))


_NAMES = Parameter(help=_HELP, negative="", show_default=False, n_tokens=1, converter=_chosen, metavar="NAME,...", group=Group("Target", sort_key=0))
_MORE = inspect.Parameter("formats", inspect.Parameter.KEYWORD_ONLY, default=(), annotation=Annotated[tuple[str, ...], _NAMES])
benchmark_compare = from_spec(_run, spec_class("benchmark-compare"), _EXPLANATION, _MORE)
