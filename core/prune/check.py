"""Whether a request fits a model, and what it will take: for the form, the command line and the run alike.

Every figure here is an estimate and says how it was reached; the run measures the true ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.errors import RequestError
from core.formats.writing.output import check_output
from core.measure.estimates import FitLine, gib
from core.measure.limits import available_memory
from core.models.card import ModelCard
from core.models.source import not_linears, require_unquantized
from core.prune.methods import METHODS
from core.prune.spec import PruneSpec
from core.runs.state.home import disk_free_for
from core.training.memory import TRAINED_BYTES, activation_bytes

_BASE_BYTES = 450 * 2**20
_CHUNK_TOKENS = 1024
_WIDTHS = {"float64": 8, "float32": 4}


class FitCheck(BaseModel):
    """What a request will take. `estimate` in a screen's words: nothing here was measured."""

    model_config = ConfigDict(frozen=True)

    bytes_before: int
    bytes_after: int
    parameters_before: int
    parameters_after: int
    linears: int
    weights_removed: int
    """Weights that become zero; 0 where the model is cut instead."""
    peak_memory_bytes: int
    memory: tuple[FitLine, ...]
    """Parts of the peak memory."""
    memory_available: int
    """Bytes of RAM that are free."""
    speed_measured: bool
    """Whether original and result fit in memory together, so that their speed is measured."""
    warnings: tuple[str, ...] = ()


def check(spec: PruneSpec, card: ModelCard, *, memory_available: int | None = None, disk_free: int | None = None) -> FitCheck:
    """Judge a request against a model's card.

    Args:
        spec: the request.
        card: the model's.
        memory_available: bytes of RAM that are free; by default this machine's.
        disk_free: bytes free where the checkpoint will stand; by default this machine's.

    Raises:
        RequestError: the request cannot be carried out on this model, in one sentence.
    """
    require_unquantized(card)
    if memory_available is None:
        memory_available = available_memory()
    if disk_free is None:
        disk_free = disk_free_for(spec.out)
    _refuse_what_cannot_be(spec, card)
    method, request = METHODS[spec.method], spec.request
    after = method.parameters_after(request, card)
    width = _WIDTHS.get(card.dtype, 2)
    before_bytes = card.file_bytes or card.parameters * width
    after_bytes = before_bytes - (card.parameters - after) * width
    memory = _memory(spec, card, width)
    peak = sum(line.bytes for line in memory)
    whole = 4 * (card.parameters + after)
    recovery = _recovery_bytes(spec, card, after)
    if spec.recover_steps and recovery > memory_available:
        raise RequestError(
            f"a recovery holds original and result in memory, about {gib(recovery)}, and {gib(memory_available)} are free: set recover-steps to 0"
        )
    return FitCheck(
        bytes_before=before_bytes,
        bytes_after=after_bytes,
        parameters_before=card.parameters,
        parameters_after=after,
        linears=sum(linear.count for linear in card.linears),
        weights_removed=0 if method.shrinks else round(_weights(card) * request.share),
        peak_memory_bytes=max(peak, recovery),
        memory=memory,
        memory_available=memory_available,
        speed_measured=bool(spec.speed_tokens) and whole + _BASE_BYTES < memory_available,
        warnings=tuple(_warnings(spec, card, max(peak, recovery), after_bytes, memory_available, disk_free)),
    )


def _weights(card: ModelCard) -> int:
    return sum(linear.out_features * linear.in_features * linear.count for linear in card.linears)


def _refuse_what_cannot_be(spec: PruneSpec, card: ModelCard) -> None:
    method, request = METHODS[spec.method], spec.request
    if not card.linears:
        raise RequestError(f"{card.name} has no linears in its decoder blocks to prune: choose another model")
    if (missed := not_linears(card)) is not None:
        raise RequestError(missed)
    if request.keep is not None:
        group = request.keep[1]
        for linear in card.linears:
            if linear.in_features % group:
                raise RequestError(
                    f"keep {spec.keep} needs rows of a multiple of {group} weights, and {linear.name_suffix} has rows of {linear.in_features}: "
                    "choose another pattern, or give sparsity"
                )
    method.require(request, card)
    if spec.calibrates and spec.calibration_length > card.context:
        raise RequestError(f"calibration-length {spec.calibration_length} is longer than the model's context of {card.context} tokens: lower it")
    if spec.eval_tokens and spec.context > card.context:
        raise RequestError(f"context {spec.context} is longer than the model's context of {card.context} tokens: lower it")
    if spec.out is not None:
        check_output(Path(spec.out).expanduser())


def _memory(spec: PruneSpec, card: ModelCard, width: int) -> tuple[FitLine, ...]:
    blocks = max(card.layers, 1)
    block = _weights(card) // blocks
    widest = max(linear.in_features for linear in card.linears)
    largest = max(linear.out_features * linear.in_features for linear in card.linears)
    lines = [
        FitLine("program", _BASE_BYTES, "Python with torch and transformers imported"),
        FitLine("block", block * (width + 4), "weights of one decoder block, as stored and in float32"),
        FitLine("linear", 4 * 4 * largest, "four float32 copies of the largest linear while it is pruned"),
    ]
    if spec.calibrates or spec.eval_tokens:
        heads = 1 if card.tied_embeddings else 2
        lines.append(FitLine("embeddings", heads * card.vocabulary * card.hidden_size * width, "vocabulary x hidden size, twice when not tied"))
    if spec.calibrates:
        tokens = spec.calibration_samples * spec.calibration_length
        chunk = min(tokens, max(_CHUNK_TOKENS, spec.calibration_length)) * (card.intermediate_size * 3 + card.hidden_size * 6) * 4
        lines += [
            FitLine("calibration", tokens * card.hidden_size * width, "samples x length x hidden size, kept between blocks"),
            FitLine("activations", chunk, "one chunk of samples inside a block, in float32"),
            FitLine("Hessian", 3 * 4 * widest * widest, "the widest input squared, in float32, three times while it is factored"),
        ]
    if spec.eval_tokens:
        logits = 2 * max(64 * 2**20, 4 * spec.context * card.vocabulary)
        hidden = 2 * spec.eval_tokens * card.hidden_size * 4
        lines.append(FitLine("evaluation", logits + hidden, "hidden states and a chunk of logits of the original and the result"))
    return tuple(lines)


def _recovery_bytes(spec: PruneSpec, card: ModelCard, after: int) -> int:
    if not spec.recover_steps:
        return 0
    activations = activation_bytes(spec.recover_tokens, card.hidden_size, card.layers) + spec.recover_tokens * card.vocabulary * 5 * 4
    return _BASE_BYTES + 4 * card.parameters + TRAINED_BYTES * after + activations


def _warnings(spec: PruneSpec, card: ModelCard, peak: int, after: int, memory_available: int, disk_free: int | None) -> Iterator[str]:
    if peak > memory_available:
        yield f"the estimated peak of {gib(peak)} exceeds the {gib(memory_available)} of free memory"
    if disk_free is not None and after > disk_free:
        yield f"the checkpoint of about {gib(after)} does not fit in the {gib(disk_free)} free on the disk"
    yield from METHODS[spec.method].warnings(spec.request, card)
    if spec.calibrates and spec.calibration_samples * spec.calibration_length < max(linear.in_features for linear in card.linears):
        yield "fewer calibration tokens than the widest linear has inputs: the Hessian is singular and depends on damping"
