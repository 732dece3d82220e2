"""Mixed precision: bits where the model is sensitive, measured linear by linear.

First every linear is quantized alone, by GPTQ at each width, and the divergence of the whole model's predictions is measured. Then the
widths are chosen: least summed divergence within a size, or least size within a divergence. Then the model is quantized block by block with
these widths, as GPTQ does with one. Losses of single linears add up well while they are small, because errors of different linears are
nearly uncorrelated; for a goal of divergence, where that is not enough, the whole is measured and the limit moved until the goal is met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby

from torch import Tensor, nn

from core.calibration.blocks import calibrated_blocks
from core.calibration.probe import HELD_BYTES, Probe
from core.calibration.statistics import InputStatistics
from core.errors import RequestError, RunFailed
from core.formats.layouts.compressed_tensors.mixed_widths import MixedWidths
from core.measure.limits import available_memory
from core.models.stream.stored_dtypes import stored_dtypes
from core.models.stream.streaming import StreamedModel
from core.models.structure import find_linears
from core.numerics.stored import StoredWeight
from core.quantize.methods.mixed import BUDGET
from core.quantize.pipeline.items import BlockDone, Item, QuantizedLinear
from core.quantize.pipeline.solvers import ModelSolver
from core.quantize.pipeline.stream import quantized_linears, solve
from core.quantize.spec import QuantizeSpec
from core.quantize.whole.allocate import Assignment, Choice, least_loss, least_size
from core.quantize.whole.reuse import conditions, measured_before
from core.quantize.whole.sensitivity import Sensitivity, sensitivities
from core.runs.steps import Steps
from core.sanitize import clean

PLAN = "mixed precision"
"""Under this name the resume store keeps what was measured and chosen."""
MEASURED = "sensitivities"
"""Under this name, what was measured so far."""
PROBE_TOKENS = 2048
"""Tokens on which divergences are measured."""

_PROBE_LENGTH = 256
_FUSED_WIDTHS = {4, 8}
_TRIALS = 5
_CLOSE = 0.93


@dataclass(frozen=True)
class Plan:
    """What was measured and what follows from it."""

    sensitivities: tuple[Sensitivity, ...]
    widths: dict[str, int]
    """Bits by the linear's name in the checkpoint."""
    predicted_kl: float
    """Sum of the divergences of the chosen widths, in nats per token."""
    measured_kl: float | None
    """Divergence of the whole on the same calibration text, where it was measured to choose."""
    exact: bool
    """Whether no other assignment has a smaller sum within the limit."""
    conditions: str = ""
    """Under which was measured; see `core.quantize.whole.reuse`."""

    def to_json(self) -> dict[str, object]:
        """Plain data."""
        return asdict(self)


def linears(streamed: StreamedModel, spec: QuantizeSpec, windows: Tensor | None, steps: Steps) -> Iterator[Item]:
    """Measure, choose, quantize; see `core.quantize.pipeline.solvers.ModelSolver.items`.

    Raises:
        RequestError: the budget is below the smallest widths, or the linears are of a kind that loads with one width only.
        RunFailed: the divergence is above the goal even at the widest.
    """
    if windows is None:
        raise RequestError("mixed needs calibration text: give --calibration")
    _require_plain_linears(streamed)
    plan = recalled(steps.store.get(PLAN))
    if plan is None:
        key = conditions(streamed, spec, windows)
        found = _reused(key, spec, steps) or measure(streamed, spec, windows, steps)
        plan = plan_for(spec, found) if spec.max_kl is None else _within(spec.max_kl, found, streamed, spec, windows, steps)
        plan = replace(plan, conditions=key)
        steps.store.put(PLAN, plan.to_json())
    else:
        steps.skip(len(plan.sensitivities))
    counts = Counter(plan.widths.values())
    steps.log("chosen: " + ", ".join(f"{count} linears at {bits} bits" for bits, count in sorted(counts.items())))
    yield from _quantized(streamed, spec, windows, steps, plan.widths)


def recalled(document: object) -> Plan | None:
    """A plan as `to_json` gave it, None for None."""
    if not isinstance(document, Mapping):
        return None
    return Plan(**{**document, "sensitivities": tuple(Sensitivity(**one) for one in document["sensitivities"])})


def choose(
    found: Sequence[Sensitivity], *, budget: float | None = None, max_kl: float | None = None, fused: bool = False
) -> tuple[dict[str, int], Assignment]:
    """Widths by linear and how they were found.

    Args:
        found: all measurements; those of a linear follow each other.
        budget: bits per weight on average, scales counted.
        max_kl: in place of a budget: most that the divergences may sum to, in nats per token.
        fused: give linears that read the same input the same width, as engines that run them as one need it.

    Raises:
        RequestError: the limit cannot be kept.
    """
    units = [list(of_unit) for _, of_unit in groupby(found, key=lambda one: one.shares if fused else one.linear)]
    choices = [_choices(unit) for unit in units]
    if max_kl is not None:
        assignment = least_size(choices, max_kl)
    else:
        weights = sum(next(iter(of_linear)).weights for _, of_linear in groupby(found, key=lambda one: one.linear))
        assignment = least_loss(choices, int((budget or BUDGET) * weights / 8))
    widths: dict[str, int] = {}
    for unit, options, index in zip(units, choices, assignment.chosen, strict=True):
        widths |= {one.linear: options[index].bits for one in unit}
    return widths, assignment


def probe_windows(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Windows to calibrate the single linears on, and others [N, T] to measure divergences on; the same where there are few."""
    length = min(_PROBE_LENGTH, windows.shape[1])
    rows = -(-PROBE_TOKENS // length)
    if len(windows) < 3 * rows:
        return windows, windows[: max(rows, 1), :length]
    return windows[:-rows], windows[-rows:, :length]


def _require_plain_linears(streamed: StreamedModel) -> None:
    """transformers unpacks the linears of some families while it loads, and then takes all of them for one width."""
    kinds = {type(linear) for block in streamed.blocks.modules for linear in find_linears(block).values()} - {nn.Linear}
    if kinds:
        name = clean(sorted(kind.__name__ for kind in kinds)[0])
        raise RequestError(f"the linears of this model are of an unusual type ({name}), which loads with one width only: choose gptq instead")


def _choices(unit: Sequence[Sensitivity]) -> list[Choice]:
    """The widths of linears that get the same one; rounding noise can make a tiny divergence negative."""
    by_bits: dict[int, list[Sensitivity]] = {}
    for one in unit:
        by_bits.setdefault(one.bits, []).append(one)
    return [Choice(bits, sum(one.bytes for one in same), sum(max(one.kl, 0.0) for one in same)) for bits, same in by_bits.items()]


def measure(streamed: StreamedModel, spec: QuantizeSpec, windows: Tensor, steps: Steps) -> tuple[Sensitivity, ...]:
    """Every linear at every width of the spec, rounded alone by GPTQ.

    Args:
        streamed: the original model.
        spec: the request.
        windows: calibration tokens int64 [N, T].
        steps: reports every measurement.
    """
    calibrating, probing = probe_windows(windows)
    stored, dtype = stored_dtypes(streamed)
    asked = _by_width(spec)

    def candidates(weight: Tensor, name: str, statistics: InputStatistics | None) -> Iterator[tuple[int, StoredWeight]]:
        for bits, single in asked.items():
            yield bits, solve(weight, name, single, stored.get(f"{name}.weight", dtype), statistics)

    blocks = calibrated_blocks(streamed, calibrating, steps.check_cancelled, dtype)
    found = _measured_so_far(spec, steps)
    done, room = {one.linear for one in found}, _room(streamed, len(asked), probing)
    if len(done) == sum(len(find_linears(block)) for block in streamed.blocks.modules):
        return tuple(found)
    for one in sensitivities(streamed, blocks, probing, candidates, steps.step, between=steps.check_cancelled, skip=done, held_bytes=room):
        steps.measured("sensitivity_kl", one.kl, one.bits, one.linear)
        found.append(one)
        if one.bits == max(asked):
            steps.store.put(MEASURED, [asdict(each) for each in found])
    return tuple(found)


def _room(streamed: StreamedModel, widths: int, probing: Tensor) -> int | None:
    """Bytes for hidden states that wait: where a block's worth takes more than the usual, as much of it as a quarter of the free memory holds."""
    if streamed.device.type != "cpu":
        return None
    linears = len(find_linears(streamed.blocks.modules[0]))
    block = linears * widths * probing.numel() * int(streamed.config.get_text_config().hidden_size) * streamed.dtype.itemsize
    return max(HELD_BYTES["cpu"], min(block, available_memory() // 4))


def _measured_so_far(spec: QuantizeSpec, steps: Steps) -> list[Sensitivity]:
    """What was measured before the run was stopped, of linears that were measured at every width."""
    found = [Sensitivity(**one) for one in steps.store.get(MEASURED) or ()]
    counts = Counter(one.linear for one in found)
    found = [one for one in found if counts[one.linear] == len(spec.widths)]
    _tell(found, steps)
    return found


def _reused(key: str, spec: QuantizeSpec, steps: Steps) -> tuple[Sensitivity, ...] | None:
    """What an earlier run measured, reported as if it were measured now."""
    before = measured_before(key, spec.widths)
    if before is None:
        return None
    run, found = before
    steps.log(f"reusing the sensitivities measured by run {run} under the same conditions")
    _tell(found, steps)
    return found


def _tell(found: Sequence[Sensitivity], steps: Steps) -> None:
    """Measurements that need not be made."""
    steps.skip(len(found))
    for one in found:
        steps.measured("sensitivity_kl", one.kl, one.bits, one.linear)


def plan_for(spec: QuantizeSpec, found: tuple[Sensitivity, ...]) -> Plan:
    """The widths of least summed divergence within the spec's budget. Raises RequestError: the budget is below the smallest widths."""
    widths, assignment = choose(found, budget=spec.budget, fused=set(spec.widths) <= _FUSED_WIDTHS)
    return Plan(found, widths, assignment.loss, None, assignment.exact)


def _within(max_kl: float, found: tuple[Sensitivity, ...], streamed: StreamedModel, spec: QuantizeSpec, windows: Tensor, steps: Steps) -> Plan:
    """The smallest assignment whose measured divergence keeps the goal: the limit on the sum is moved by what each trial showed."""
    limit, fused = max_kl, set(spec.widths) <= _FUSED_WIDTHS
    best: Plan | None = None
    size = 0
    for trial in range(_TRIALS):
        try:
            widths, assignment = choose(found, max_kl=limit, fused=fused)
        except RequestError:
            if best is not None:
                break
            widths, assignment = choose(found, budget=float(max(spec.widths)) + 16, fused=fused)
        steps.say(f"trying an assignment, {trial + 1} of at most {_TRIALS}")
        measured = _divergence(streamed, spec, windows, steps, widths)
        steps.log(f"predicted divergence {assignment.loss:.4g}, measured {measured:.4g} nats per token, {assignment.bytes:,} bytes")
        if measured <= max_kl and (best is None or assignment.bytes < size):
            best, size = Plan(found, widths, assignment.loss, measured, assignment.exact), assignment.bytes
        if _CLOSE * max_kl <= measured <= max_kl:
            break
        limit = assignment.loss * max_kl / max(measured, 1e-12) * (0.98 if measured > max_kl else 1.0)
    if best is None:
        raise RunFailed(
            f"no assignment of the widths {', '.join(map(str, spec.widths))} stays within max-kl {max_kl:g}: allow wider ones, or a larger max-kl"
        )
    return best


def _divergence(streamed: StreamedModel, spec: QuantizeSpec, windows: Tensor, steps: Steps, widths: Mapping[str, int]) -> float:
    """Of the whole model with these widths, on the text that sensitivities are measured on."""
    probe = Probe(streamed, probe_windows(windows)[1], steps.check_cancelled)
    hidden = probe.entering
    for item in _quantized(streamed, spec, windows, steps.silent(), widths):
        if isinstance(item, BlockDone):
            hidden = probe.run(streamed.blocks.modules[item.index], hidden, item.index)
    return probe.divergences([hidden])[0]


def _quantized(streamed: StreamedModel, spec: QuantizeSpec, windows: Tensor, steps: Steps, widths: Mapping[str, int]) -> Iterator[Item]:
    asked = _by_width(spec)
    for item in quantized_linears(streamed, asked[max(asked)], windows, steps, lambda name: asked[widths[name]]):
        if isinstance(item, QuantizedLinear):
            steps.measured("assigned_bits", widths[item.name], 0, item.figures.name)
        yield item


def _by_width(spec: QuantizeSpec) -> dict[int, QuantizeSpec]:
    """The request for a linear by its width."""
    return {bits: spec.model_copy(update={"method": "gptq", "bits": bits}) for bits in sorted(spec.widths)}


def scheme(spec: QuantizeSpec) -> MixedWidths:
    """Packed integers, each linear with the width it got."""
    assert spec.granularity == "group" or spec.granularity == "channel"
    return MixedWidths(spec.symmetric, spec.granularity, spec.group_size if spec.granularity == "group" else None)


SOLVER = ModelSolver(linears, scheme)
