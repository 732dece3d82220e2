"""`llmopt benchmark-compare`: the same load and the same prompts on several engines and formats of a model, one after another."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.benchmark.analysis.baseline import compare_to_baseline
from core.benchmark.analysis.warnings import ESTIMATED
from core.benchmark.compare.recommend import recommend
from core.benchmark.compare.result import BenchmarkCompareResult, LeftOut
from core.benchmark.compare.spec import BenchmarkCompareSpec, CompareTarget
from core.benchmark.compare.sub_context import SubContext
from core.benchmark.documents import load_result
from core.benchmark.drive.measure import measure_target
from core.benchmark.result import BenchmarkEntry, BenchmarkResult, Threshold, Timeline
from core.benchmark.server.formats import check_format
from core.benchmark.server.target import tokenizer_of
from core.benchmark.workload.prompts import prompts_of
from core.context import RunContext
from core.engine import Missing, look_up
from core.errors import Cancelled, RequestError, RunFailed
from core.hardware.live.surroundings import surroundings
from core.models.resolve import resolve
from core.runs.state.files import write_json
from core.sanitize import clean

_SO_FAR = "so-far.json"
"""What was measured when a comparison is killed; can be read wherever a result is."""


def run(spec: BenchmarkCompareSpec, context: RunContext) -> BenchmarkCompareResult:
    """Measure every target that starts; one that does not is a row with its reason.

    Raises:
        RequestError: the model, the texts or an expression is not what it should be.
        RunFailed: no target could be measured.
        Cancelled: by the user; with the targets that were measured by then, in whole or in part, as its result.
    """
    began = time.monotonic()
    baseline = None if spec.baseline is None else load_result(spec.baseline)
    prompts, counted = _prompts_file(spec, context.artifacts)
    left_out = [LeftOut(target=label, reason=reason) for label, reason in map(_label_and_reason, spec.not_made)]
    measured: list[_Measured] = []
    for number, target in enumerate(spec.chosen):
        part = SubContext(context, number, len(spec.chosen), target.label)
        part.progress(0, 1, "starting")
        try:
            found = _measured(spec, target, prompts, part, counted)
        except Cancelled as error:
            if isinstance(error.result, BenchmarkResult):
                measured.append(_labelled(error.result.entries[0], error.result, target.label, counted))
            if not measured:
                raise
            result = _result(spec, measured, left_out, time.monotonic() - began)
            stopped = f"stopped by the user at target {number + 1} of {len(spec.chosen)}, {target.label}"
            raise Cancelled(
                f"the figures of {len(measured)} of {len(spec.chosen)} targets are kept",
                result=result.model_copy(update={"stopped": stopped, "warnings": (stopped,)}),
            ) from error
        if isinstance(found, LeftOut):
            context.log(f"{found.target} is skipped: {found.reason}")
            left_out.append(found)
        else:
            measured.append(found)
            write_json(context.artifacts / _SO_FAR, _result(spec, measured, left_out, time.monotonic() - began).model_dump(mode="json"))
    if not measured:
        raise RunFailed(f"no target could be measured: {'; '.join(f'{each.target}: {each.reason}' for each in left_out)}")
    result = _result(spec, measured, left_out, time.monotonic() - began)
    (context.artifacts / _SO_FAR).unlink(missing_ok=True)
    result = compare_to_baseline(baseline, result)
    for each in result.recommendations:
        context.log(f"{each.title}: {each.words}")
    return result


@dataclass(frozen=True)
class _Measured:
    """A target with its figures."""

    entry: BenchmarkEntry
    samples: dict[str, dict[str, list[float]]]
    timelines: dict[str, Timeline]
    thresholds: tuple[Threshold, ...]


def _measured(spec: BenchmarkCompareSpec, target: CompareTarget, prompts: Path | None, part: SubContext, counted: bool) -> _Measured | LeftOut:
    """Measure one target, or say why it cannot be."""
    try:
        _refuse(target)
        result = measure_target(spec.of(target, prompts), part)
    except (RequestError, RunFailed) as error:
        return LeftOut(target=target.label, reason=str(error))
    (entry,) = result.entries
    if not entry.requests.done:
        reason = entry.errors[0].reason if entry.errors else "it was not sent before the load ended"
        return LeftOut(target=target.label, reason=f"none of {entry.requests.scheduled} requests was answered: {reason}")
    return _labelled(entry, result, target.label, counted)


def _refuse(target: CompareTarget) -> None:
    """Raises RequestError for what would only be found out after a long start: a missing engine, a format that it does not read."""
    if target.model.startswith(("http://", "https://")):
        return
    engine = look_up(target.engine)
    found = engine.find()
    if isinstance(found, Missing):
        raise RequestError(found.reason)
    check_format(engine.facts, resolve(target.model).kind)


def _labelled(entry: BenchmarkEntry, result: BenchmarkResult, label: str, counted: bool) -> _Measured:
    """Figures under the target's own label. Where the prompts were cut with the model's tokenizer, no target's lengths are estimates."""
    warnings = tuple(warning for warning in entry.warnings if not (counted and warning == ESTIMATED))
    samples = {f"{label}{name.removeprefix(entry.name)}": held for name, held in result.samples.items()}
    thresholds = tuple(each.model_copy(update={"expression": f"{label}: {each.expression}"}) for each in result.thresholds)
    timelines = {f"{label}{name.removeprefix(entry.name)}": held for name, held in result.timelines.items()}
    return _Measured(entry.model_copy(update={"name": label, "warnings": warnings}), samples, timelines, thresholds)


def _result(spec: BenchmarkCompareSpec, measured: Sequence[_Measured], left_out: Sequence[LeftOut], seconds: float) -> BenchmarkCompareResult:
    entries = tuple(each.entry for each in measured)
    samples = {name: held for each in measured for name, held in each.samples.items()}
    return BenchmarkCompareResult(
        model=clean(spec.model),
        entries=entries,
        samples=samples,
        timelines={name: held for each in measured for name, held in each.timelines.items()},
        thresholds=tuple(threshold for each in measured for threshold in each.thresholds),
        left_out=tuple(left_out),
        recommendations=recommend(entries, samples),
        machine=surroundings(),
        load=spec.summary(),
        seconds=seconds,
    )


def _prompts_file(spec: BenchmarkCompareSpec, folder: Path) -> tuple[Path | None, bool]:
    """The built-in texts as a file, so that every target is asked the same, and whether a tokenizer counted them; None for texts of the user."""
    if spec.prompts != "builtin" or spec.load == "trace":
        return None, False
    tokenizer, _ = tokenizer_of(spec)
    lines = [json.dumps({"prompt": prompt.text, "output_tokens": prompt.output_tokens}) for prompt in prompts_of(spec, tokenizer)]
    file = folder / "prompts.jsonl"
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file, tokenizer is not None


def _label_and_reason(text: str) -> tuple[str, str]:
    label, _, reason = text.partition(": ")
    return clean(label, limit=80), clean(reason or "it could not be created", limit=400)
