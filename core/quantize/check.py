"""Whether a request fits a model, and what it will take: for the form, the command line and the run alike.

Every figure here is an estimate and says how it was reached; the run measures the true ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.errors import RequestError
from core.formats.writing.output import check_output
from core.measure.estimates import FitLine, gib
from core.measure.limits import available_memory
from core.models.card import ModelCard
from core.models.source import not_linears, require_unquantized
from core.quantize.methods import METHODS
from core.quantize.spec import QuantizeSpec
from core.runs.state.home import disk_free_for

_BASE_BYTES = 450 * 2**20
_CHUNK_TOKENS = 4096
_MEASURED = {"float64": 8, "float32": 4}


class FitCheck(BaseModel):
    """What a request will take. `estimate` in a screen's words: nothing here was measured."""

    model_config = ConfigDict(frozen=True)

    bytes_before: int
    bytes_after: int
    bits_per_weight: float
    """Of the whole model: scales, zero points and what stays in full precision counted."""
    linears: int
    weights_quantized: int
    weights_kept: int
    peak_memory_bytes: int
    memory: tuple[FitLine, ...]
    """Parts of the peak memory."""
    memory_available: int
    """Bytes of RAM that are free."""
    warnings: tuple[str, ...] = ()


def check(spec: QuantizeSpec, card: ModelCard, *, memory_available: int | None = None, disk_free: int | None = None) -> FitCheck:
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
    spec = spec.settled(card)
    method, request = METHODS[spec.method], spec.request
    _refuse_what_cannot_be(spec, card)
    weights = sum(linear.out_features * linear.in_features * linear.count for linear in card.linears)
    kept = max(card.parameters - weights, 0)
    width = _MEASURED.get(card.dtype, 2)
    after = method.checkpoint_bytes(request, card, kept * width)
    before = card.file_bytes or card.parameters * width
    memory = _memory(spec, card, width)
    peak = sum(line.bytes for line in memory)
    if method.holds_model and peak > memory_available:
        raise RequestError(
            f"training takes about {gib(peak)} and {gib(memory_available)} of memory are free: choose gptq or awq, which work block by block"
        )
    return FitCheck(
        bytes_before=before,
        bytes_after=after,
        bits_per_weight=8 * after / max(card.parameters, 1),
        linears=sum(linear.count for linear in card.linears),
        weights_quantized=weights,
        weights_kept=kept,
        peak_memory_bytes=peak,
        memory=memory,
        memory_available=memory_available,
        warnings=tuple(_warnings(spec, card, peak, after, memory_available, disk_free)),
    )


def _refuse_what_cannot_be(spec: QuantizeSpec, card: ModelCard) -> None:
    if not card.linears:
        raise RequestError(f"{card.name} has no quantizable linears in its decoder blocks: choose another model")
    METHODS[spec.method].require(spec.request, card)
    if spec.method != "gguf" and (missed := not_linears(card)) is not None:
        raise RequestError(missed)
    for linear in card.linears:
        if spec.granularity == "group" and linear.in_features % spec.group_size:
            raise RequestError(
                f"group-size {spec.group_size} does not divide the rows of {linear.name_suffix} ({linear.in_features} weights): "
                f"choose {_divisor(card, spec.group_size)}, which divides all rows, or granularity channel"
            )
        if spec.format in ("gptq", "awq") and (linear.in_features * spec.bits % 32 or linear.out_features * spec.bits % 32):
            raise RequestError(
                f"{linear.name_suffix} has {linear.in_features} inputs and {linear.out_features} outputs, and the {spec.format.upper()} format fills "
                f"whole 32-bit words with {spec.bits}-bit weights along both: choose format compressed-tensors"
            )
    if spec.calibrates and spec.calibration_length > card.context:
        raise RequestError(f"calibration-length {spec.calibration_length} is longer than the model's context of {card.context} tokens: lower it")
    if spec.eval_tokens and spec.context > card.context:
        raise RequestError(f"context {spec.context} is longer than the model's context of {card.context} tokens: lower it")
    if spec.out is not None:
        check_output(Path(spec.out).expanduser())


def _divisor(card: ModelCard, wanted: int) -> int:
    """The largest size, no larger than what was asked for, that divides the rows of all linears."""
    common = gcd(*(linear.in_features for linear in card.linears))
    return next(size for size in range(min(wanted, common), 0, -1) if common % size == 0)


def _memory(spec: QuantizeSpec, card: ModelCard, width: int) -> tuple[FitLine, ...]:
    blocks = max(card.layers, 1)
    block = sum(linear.out_features * linear.in_features * linear.count for linear in card.linears) // blocks
    widest = max(linear.in_features for linear in card.linears)
    largest = max(linear.out_features * linear.in_features for linear in card.linears)
    lines = [
        FitLine("program", _BASE_BYTES, "Python with torch and transformers imported"),
        FitLine("block", block * (width + 4), "weights of one decoder block, as stored and in float32"),
        FitLine("linear", 4 * 4 * largest, "four float32 copies of the largest linear while it is rounded"),
    ]
    if spec.calibrates or spec.eval_tokens:
        heads = 1 if card.tied_embeddings else 2
        lines.append(FitLine("embeddings", heads * card.vocabulary * card.hidden_size * width, "vocabulary x hidden size, twice when not tied"))
    if spec.calibrates:
        tokens = spec.calibration_samples * spec.calibration_length
        chunk = min(tokens, max(_CHUNK_TOKENS, spec.calibration_length)) * (card.intermediate_size * 3 + card.hidden_size * 6) * 4
        lines += [
            FitLine("calibration", tokens * card.hidden_size * 2, "samples x length x hidden size in 16 bits, kept between blocks"),
            FitLine("activations", chunk, "one chunk of samples inside a block, in float32"),
            FitLine("Hessian", 3 * 4 * widest * widest, "the widest input squared, in float32, three times while it is factored"),
        ]
    lines += METHODS[spec.method].memory(spec.request, card)
    if spec.eval_tokens:
        logits = 2 * max(64 * 2**20, 4 * spec.context * card.vocabulary)
        hidden = 2 * spec.eval_tokens * card.hidden_size * 4
        lines.append(FitLine("evaluation", logits + hidden, "hidden states and a chunk of logits of the original and the result"))
    return tuple(lines)


def _warnings(spec: QuantizeSpec, card: ModelCard, peak: int, after: int, memory_available: int, disk_free: int | None) -> Iterator[str]:
    if peak > memory_available:
        yield f"the estimated peak of {gib(peak)} exceeds the {gib(memory_available)} of free memory"
    if disk_free is not None and after > disk_free:
        yield f"the checkpoint of about {gib(after)} does not fit in the {gib(disk_free)} free on the disk"
    yield from METHODS[spec.method].warnings(spec.request, card)
    if spec.calibrates and spec.calibration_samples * spec.calibration_length < max(linear.in_features for linear in card.linears):
        yield "fewer calibration tokens than the widest linear has inputs: the Hessian is singular and depends on damping"
