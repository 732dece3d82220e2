"""Whether a request fits a model, and what it will take: for the form, the command line and the run alike.

Every figure here is an estimate and says how it was reached; the run measures the true ones.
"""

from __future__ import annotations

from math import gcd
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.calibration.norm_groups import recipe_of
from core.errors import RequestError
from core.formats.gguf.blocks import WRITTEN_HERE
from core.formats.gguf.families import family_of
from core.formats.gguf.llama.process import require_llama_cpp
from core.models.card import ModelCard
from core.models.source import require_unquantized
from core.quantize.plan.additive_shape import settled, shape_of
from core.quantize.plan.levels import level_row
from core.quantize.plan.methods import FACTS, MIXED_BUDGET
from core.quantize.plan.qat_memory import EXTRA_BYTES
from core.quantize.plan.sizes import integer_bytes, stored_bytes
from core.quantize.spec import INTEGER, QuantizeSpec
from core.sanitize import clean
from core.training.memory import rows_at_once, training_bytes

_BASE_BYTES = 450 * 2**20
_CHUNK_TOKENS = 4096
_MEASURING_BYTES = 320 * 2**20
_MEASURED_TOKENS = 2048
_MANY_MEASUREMENTS = 2000
_FP8_BLOCK = 128
_ENGINE_WIDTHS = (4, 8)
_MEASURED = {"float64": 8, "float32": 4}


class FitLine(BaseModel):
    """One part of an estimate."""

    model_config = ConfigDict(frozen=True)

    label: str
    bytes: int
    how: str
    """The formula in words."""


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
    warnings: tuple[str, ...] = ()


def check(spec: QuantizeSpec, card: ModelCard, *, memory_available: int | None = None, disk_free: int | None = None) -> FitCheck:
    """Judge a request against a model's card.

    Args:
        spec: the request.
        card: the model's.
        memory_available: bytes of RAM that are free; None when not known.
        disk_free: bytes free where the checkpoint will stand; None when not known.

    Raises:
        RequestError: the request cannot be carried out on this model, in one sentence.
    """
    require_unquantized(card)
    spec = settled(spec, card)
    _refuse_what_cannot_be(spec, card)
    weights = sum(linear.out_features * linear.in_features * linear.count for linear in card.linears)
    kept = max(card.parameters - weights, 0)
    width = _MEASURED.get(card.dtype, 2)
    level = level_row(card, spec.level, imatrix=spec.imatrix) if spec.method == "gguf" else None
    after = level.bytes if level else sum(stored_bytes(spec, linear) * linear.count for linear in card.linears) + kept * width
    before = card.file_bytes or card.parameters * width
    memory = _memory(spec, card, width)
    peak = sum(line.bytes for line in memory)
    if spec.method == "qat" and memory_available is not None and peak > memory_available:
        raise RequestError(
            f"training takes about {_gib(peak)} and {_gib(memory_available)} of memory are free: choose gptq or awq, which work block by block"
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
        warnings=(
            *_warnings(spec, card, peak, after, memory_available, disk_free),
            *(fallback.sentence() for fallback in (level.fallbacks if level else ())),
        ),
    )


def _refuse_what_cannot_be(spec: QuantizeSpec, card: ModelCard) -> None:
    if not card.linears:
        raise RequestError(f"{card.name} has no linears in decoder blocks that could be quantized: choose another model")
    if spec.method == "gguf":
        family_of(card.model_type)
        if spec.level not in WRITTEN_HERE:
            require_llama_cpp(f"level {spec.level}", "choose level Q8_0, which is written without it")
        elif spec.imatrix:
            raise RequestError(f"an importance matrix changes nothing at level {spec.level}: leave imatrix out, or choose a level below Q8_0")
    if FACTS[spec.method].moves_scales:
        recipe_of(card.model_type, spec.method)
    if spec.method == "mixed" and spec.max_kl is None:
        _require_budget(spec, card)
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
        if spec.method == "fp8" and spec.granularity == "block" and spec.activation_bits == 8 and linear.in_features % _FP8_BLOCK:
            raise RequestError(
                f"blocks of {_FP8_BLOCK} do not divide the inputs of {linear.name_suffix} ({linear.in_features} features), which are rounded by "
                "as many: choose granularity channel, or activation-bits 16"
            )
    if spec.calibrates and spec.calibration_length > card.context:
        raise RequestError(f"calibration-length {spec.calibration_length} is longer than the model's context of {card.context} tokens: lower it")
    if spec.eval_tokens and spec.context > card.context:
        raise RequestError(f"context {spec.context} is longer than the model's context of {card.context} tokens: lower it")
    if spec.out is not None and Path(spec.out).expanduser().exists():
        raise RequestError(f"the output folder {clean(spec.out, limit=200)} exists: choose another, or remove it")


def _divisor(card: ModelCard, wanted: int) -> int:
    """The largest size, no larger than what was asked for, that divides the rows of all linears."""
    common = gcd(*(linear.in_features for linear in card.linears))
    return next(size for size in range(min(wanted, common), 0, -1) if common % size == 0)


def _require_budget(spec: QuantizeSpec, card: ModelCard) -> None:
    """Refuse a budget that even the smallest of the widths passes."""
    narrowest = spec.model_copy(update={"bits": min(spec.widths)})
    weights = sum(linear.out_features * linear.in_features * linear.count for linear in card.linears)
    least = 8 * sum(integer_bytes(narrowest, linear) * linear.count for linear in card.linears) / weights
    budget = spec.budget or MIXED_BUDGET
    if budget < least:
        raise RequestError(
            f"a budget of {budget:g} bits a weight is below the {least:.3f} that width {min(spec.widths)} takes with its scales: "
            "raise the budget, or allow fewer bits in widths"
        )


def _memory(spec: QuantizeSpec, card: ModelCard, width: int) -> tuple[FitLine, ...]:
    blocks = max(card.layers, 1)
    block = sum(linear.out_features * linear.in_features * linear.count for linear in card.linears) // blocks
    widest = max(linear.in_features for linear in card.linears)
    largest = max(linear.out_features * linear.in_features for linear in card.linears)
    lines = [
        FitLine(label="program", bytes=_BASE_BYTES, how="Python with torch and transformers imported"),
        FitLine(label="block", bytes=block * (width + 4), how="weights of one decoder block, as stored and in float32"),
        FitLine(label="linear", bytes=4 * 4 * largest, how="four float32 copies of the largest linear while it is rounded"),
    ]
    if spec.calibrates or spec.eval_tokens:
        heads = 1 if card.tied_embeddings else 2
        lines.append(
            FitLine(label="embeddings", bytes=heads * card.vocabulary * card.hidden_size * width, how="vocabulary x hidden size, twice when not tied")
        )
    if spec.calibrates:
        tokens = spec.calibration_samples * spec.calibration_length
        chunk = min(tokens, max(_CHUNK_TOKENS, spec.calibration_length)) * (card.intermediate_size * 3 + card.hidden_size * 6) * 4
        lines += [
            FitLine(label="calibration", bytes=tokens * card.hidden_size * 2, how="samples x length x hidden size in 16 bits, kept between blocks"),
            FitLine(label="activations", bytes=chunk, how="what one chunk of samples needs inside a block, in float32"),
            FitLine(label="Hessian", bytes=3 * 4 * widest * widest, how="the widest input squared, in float32, three times while it is factored"),
        ]
    if spec.method == "mixed":
        variants = len(spec.widths) * sum(linear.count for linear in card.linears) // blocks
        waiting = max(_MEASURING_BYTES, variants * _MEASURED_TOKENS * card.hidden_size * 4)
        how = "hidden states of models with one rounded linear that wait to be measured: linears of a block x widths; less where memory is short"
        lines.append(FitLine(label="measuring", bytes=waiting, how=how))
    if spec.method == "qat":
        lines.append(FitLine(label="training", bytes=_training(spec, card), how="the whole model with gradients, Adam's moments and activations"))
    if FACTS[spec.method].moves_scales:
        lines.append(
            FitLine(label="trial", bytes=2 * 4 * largest, how="rounded weights of linears that share an input, in float32, while scales are tried")
        )
    if spec.eval_tokens:
        logits = 2 * max(64 * 2**20, 4 * spec.context * card.vocabulary)
        hidden = 2 * spec.eval_tokens * card.hidden_size * 4
        lines.append(FitLine(label="evaluation", bytes=logits + hidden, how="hidden states and a chunk of logits of the original and the result"))
    return tuple(lines)


def _training(spec: QuantizeSpec, card: ModelCard) -> int:
    trained = sum(linear.out_features * linear.in_features * linear.count for linear in card.linears)
    tokens = rows_at_once(spec.calibration_length, card.vocabulary) * spec.calibration_length
    return training_bytes(
        trained, max(card.parameters - trained, 0), card.hidden_size, max(card.layers, 1), card.vocabulary, tokens, extra=EXTRA_BYTES
    )


def _warnings(spec: QuantizeSpec, card: ModelCard, peak: int, after: int, memory_available: int | None, disk_free: int | None) -> tuple[str, ...]:
    found: list[str] = []
    if memory_available is not None and peak > memory_available:
        found.append(f"the estimated peak of {_gib(peak)} is above the {_gib(memory_available)} of memory that are free")
    if disk_free is not None and after > disk_free:
        found.append(f"the checkpoint of about {_gib(after)} does not fit in the {_gib(disk_free)} that are free on the disk")
    if spec.format == "compressed-tensors" and spec.method != "mixed" and spec.bits not in _ENGINE_WIDTHS:
        found.append(f"vLLM has kernels for 4 and 8 bits only: {spec.bits}-bit weights load in transformers")
    if spec.method == "additive" and not shape_of(spec).has_kernels:
        found.append(f"aqlm has no kernel for {shape_of(spec).words}: it dequantizes each weight before its product")
    if spec.method in INTEGER and spec.granularity == "tensor" and spec.activation_bits == 16:
        found.append("vLLM has no weight-only kernel for one scale a tensor: the checkpoint loads in transformers")
    if spec.method == "nf4" and any(linear.in_features % spec.group_size for linear in card.linears):
        found.append(f"bitsandbytes misreads blocks of {spec.group_size} that cross rows on some CPUs: choose a group-size that divides the rows")
    measurements = len(spec.widths) * sum(linear.count for linear in card.linears)
    if spec.method == "mixed" and measurements > _MANY_MEASUREMENTS:
        found.append(f"mixed measures {measurements:,} models with one rounded linear each, which takes long: fewer widths take less")
    if spec.calibrates and spec.calibration_samples * spec.calibration_length < max(linear.in_features for linear in card.linears):
        found.append("fewer calibration tokens than the widest linear has inputs: the Hessian is singular and leans on damping")
    return tuple(found)


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
