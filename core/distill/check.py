"""Whether a distillation fits its models and this machine: for the form, the command line and the run alike.

Every figure here is an estimate and says how it was reached; the run measures the true ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.distill.spec import DistillSpec
from core.distill.student.blocks import usual_blocks
from core.errors import RequestError
from core.formats.writing.output import check_output
from core.measure.estimates import FitLine, gib
from core.measure.limits import available_memory
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.models.source import require_folder, require_unquantized
from core.runs.state.home import disk_free_for
from core.training.memory import CHUNK_BYTES, TRAINED_BYTES, activation_bytes

_BASE_BYTES = 450 * 2**20
_KEPT_BYTES = 8
"""Of a word's number and its log-probability, at most."""
_LOGIT_COPIES = 8
"""Of a chunk: logits, softmax and gradients of both models."""


class DistillFit(BaseModel):
    """What a distillation will take. `estimate` in a screen's words: nothing here was measured."""

    model_config = ConfigDict(frozen=True)

    teacher: str
    student: str
    parameters_teacher: int
    parameters_student: int
    blocks: int
    """Of the student."""
    tokens: int
    """To train on."""
    peak_memory_bytes: int
    memory: tuple[FitLine, ...]
    """Parts of the peak memory."""
    memory_available: int
    """Bytes of RAM that are free."""
    kept_bytes: int = 0
    """Of the teacher's predictions on disk, at most."""
    warnings: tuple[str, ...] = ()


def check(spec: DistillSpec, card: ModelCard, *, memory_available: int | None = None, disk_free: int | None = None) -> DistillFit:
    """Judge a request against the teacher's card, and the student's where there is one.

    Args:
        spec: the request.
        card: the teacher's.
        memory_available: bytes of RAM that are free; by default this machine's.
        disk_free: bytes free where the checkpoint and the teacher's predictions will be; by default those of the disks of either.

    Raises:
        RequestError: the request cannot be carried out, in one sentence.
    """
    if memory_available is None:
        memory_available = available_memory()
    home_free = disk_free_for(None) if disk_free is None else disk_free
    if disk_free is None:
        disk_free = disk_free_for(spec.out)
    student = _student(spec)
    blocks = student.layers if student is not None else spec.layers or usual_blocks(card.layers)
    _refuse_what_cannot_be(spec, card, student, blocks)
    parameters = student.parameters if student is not None else _cut(card, blocks)
    memory = _memory(spec, card, student or card, blocks, parameters)
    peak = max(sum(line.bytes for line in memory), _BASE_BYTES + 4 * card.parameters)
    kept = 0 if spec.teacher == "resident" else spec.steps * spec.rows * spec.length * spec.kept_words * _KEPT_BYTES
    if home_free is not None and kept > home_free:
        raise RequestError(f"the teacher's predictions take up to {gib(kept)} on disk, and {gib(home_free)} are free: lower kept-words or steps")
    if peak > memory_available and spec.device in ("auto", "cpu"):
        way = _way_out(spec)
        raise RequestError(f"the training takes about {gib(peak)} (estimate), and {gib(memory_available)} are free: {way}")
    return DistillFit(
        teacher=card.name,
        student=student.name if student is not None else f"{card.name}, {blocks} of {card.layers} blocks",
        parameters_teacher=card.parameters,
        parameters_student=parameters,
        blocks=blocks,
        tokens=spec.steps * spec.rows * spec.length,
        peak_memory_bytes=peak,
        memory=memory,
        memory_available=memory_available,
        kept_bytes=kept,
        warnings=tuple(_warnings(card, parameters, disk_free)),
    )


def _student(spec: DistillSpec) -> ModelCard | None:
    if spec.student is None:
        return None
    source = resolve(spec.student)
    require_folder(source)
    card = source.card()
    require_unquantized(card)
    return card


def _refuse_what_cannot_be(spec: DistillSpec, card: ModelCard, student: ModelCard | None, blocks: int) -> None:
    if student is None:
        require_unquantized(card)
        if blocks >= card.layers:
            raise RequestError(f"layers {blocks} leaves nothing out: {card.name} has {card.layers} blocks; give fewer, or a student")
    shortest = min(card.context, student.context if student is not None else card.context)
    for name, value in (("length", spec.length), ("context", spec.context if spec.eval_tokens else 0)):
        if shortest and value > shortest:
            raise RequestError(f"{name} {value} is longer than the context of {shortest} tokens that teacher and student share: lower it")
    if spec.out is not None:
        check_output(Path(spec.out).expanduser())


def _cut(card: ModelCard, blocks: int) -> int:
    """Parameters of so many blocks of a model and all outside them; blocks are taken as equal."""
    head = card.vocabulary * card.hidden_size * (1 if card.tied_embeddings else 2)
    outside = min(head + card.hidden_size, card.parameters)
    return outside + (card.parameters - outside) * blocks // max(card.layers, 1)


def _memory(spec: DistillSpec, teacher: ModelCard, shape: ModelCard, blocks: int, parameters: int) -> tuple[FitLine, ...]:
    tokens = min(spec.micro_rows or spec.rows, spec.rows) * spec.length
    activations = activation_bytes(tokens, shape.hidden_size, blocks, recompute=spec.recompute)
    lines = [
        FitLine("program", _BASE_BYTES, "Python with torch and transformers imported"),
        FitLine("student", TRAINED_BYTES * parameters, "weights in float32, gradients, Adam's two moments"),
        *([FitLine("teacher", 4 * teacher.parameters, "weights in float32")] if spec.teacher == "resident" else []),
        FitLine("activations", activations, "tokens at once x hidden size x 40 per block, in float32"),
        FitLine("logits", _LOGIT_COPIES * min(CHUNK_BYTES, 4 * tokens * teacher.vocabulary), "a chunk of rows of both models, softmax and gradients"),
    ]
    return tuple(lines)


def _way_out(spec: DistillSpec) -> str:
    ways = []
    if (spec.micro_rows or spec.rows) > 1:
        ways.append("set micro-rows to 1")
    if not spec.recompute:
        ways.append("set recompute")
    return f"{', '.join([*ways, 'choose a smaller student'])}, or free memory"


def _warnings(card: ModelCard, parameters: int, disk_free: int | None) -> Iterator[str]:
    if parameters > card.parameters:
        yield f"the student has more parameters ({parameters:,}) than its teacher ({card.parameters:,}): it can hardly learn from it"
    if disk_free is not None and disk_free < 3 * 4 * parameters:
        yield f"{gib(disk_free)} are free on the disk, and checkpoints of the training and the result take up to {gib(12 * parameters)} (estimate)"
