"""What a model needs on a machine before it is tried. Every figure here is an estimate and says how it was reached.

The budget is one GPU's share under tensor parallelism, or main memory where there is no GPU:

    weights + KV cache + activations + runtime  <=  memory - what is kept free
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal

from core.errors import RequestError
from core.hardware.plan.formats import KV_FORMATS, STORED, WEIGHT_FORMATS, KvFormat, WeightBytes, kv_format, usual_weights, weight_bytes
from core.hardware.plan.machine import Gpu, Machine
from core.hardware.snapshot import GIBIBYTE, MEBIBYTE
from core.models.card import ModelCard

Place = Literal["gpu", "memory"]

GPU_SHARE = 0.92
"""Share of a GPU's memory that vLLM takes by default (--gpu-memory-utilization)."""
MEMORY_SHARE = 0.90
"""Share of main memory that is planned for; the rest is the operating system's and other programs'."""
BATCH_TOKENS = 8192
"""Most tokens that engines push through the model in one step of a prefill (vLLM's --max-num-batched-tokens on large GPUs)."""
HOST_BATCH_TOKENS = 512
"""The same for llama.cpp (--ubatch-size)."""
CUDA_CONTEXT = 512 * MEBIBYTE
"""Allowance for a CUDA context with the kernels of torch and its libraries."""
CUDA_WORKSPACES = 512 * MEBIBYTE
"""Allowance for cuBLAS workspaces and captured CUDA graphs."""
NCCL_BUFFERS = 512 * MEBIBYTE
"""Allowance for communication buffers, where GPUs work together."""
HOST_PROCESS = 256 * MEBIBYTE
"""Allowance for an engine's process outside weights and cache."""
MOST_SEQUENCES = 65_536
"""Concurrency is not looked for beyond this."""


@dataclass(frozen=True, slots=True)
class Line:
    """One item of the budget."""

    name: str
    bytes: int
    how: str


@dataclass(frozen=True, slots=True)
class FormatLine:
    """What another format would cost in place of the chosen one, at the same context and concurrency."""

    format: str
    title: str
    bytes: int
    bits: float
    """Bits of a weight or of a cached value, scales counted."""
    fits: bool
    how: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """The budget of a model on a machine. With tensor parallelism every figure is one GPU's."""

    model: str
    machine: str
    place: Place
    device: str
    weights: str
    kv: str
    context: int
    concurrency: int
    tensor_parallel: int
    capacity: int
    kept_free: Line
    lines: tuple[Line, ...]
    """Weights, KV cache, activations, runtime."""
    total: int
    left: int
    """Negative: so much is missing."""
    fits: bool
    largest_context: int
    """Most tokens per sequence at this concurrency; at most the model's own context; 0: not even one."""
    largest_concurrency: int
    """Most sequences of this context; 0: not even one."""
    model_context: int
    weight_formats: tuple[FormatLine, ...]
    kv_formats: tuple[FormatLine, ...]
    notes: tuple[str, ...] = ()
    label: str = "estimate"

    def line(self, name: str) -> Line:
        """An item by its name: weights, kv cache, activations, runtime."""
        return next(line for line in self.lines if line.name == name)

    def to_json(self) -> dict[str, object]:
        """Plain values for a JSON document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What stays the same while context and concurrency are looked for."""

    card: ModelCard
    gpu: Gpu | None
    weights: WeightBytes
    kv: KvFormat
    parallel: int

    @property
    def place(self) -> Place:
        return "gpu" if self.gpu is not None else "memory"


def estimate(
    card: ModelCard,
    machine: Machine,
    *,
    context: int = 4096,
    concurrency: int = 1,
    weights: str | None = None,
    kv: str = "fp16",
    tensor_parallel: int = 1,
    place: Place | None = None,
) -> Estimate:
    """The budget of a model.

    Args:
        card: the model.
        machine: where it shall run.
        context: tokens of each sequence, prompt and answer together.
        concurrency: sequences at once.
        weights: key of `formats.WEIGHT_FORMATS`, or `stored` for the files as they are; default: `formats.usual_weights`.
        kv: key of `formats.KV_FORMATS`.
        tensor_parallel: GPUs that share the model.
        place: gpu or memory; default: gpu where there is one.

    Raises:
        RequestError: an unknown format, a number out of range, more GPUs than there are, heads that cannot be shared out.
    """
    _check(card, machine, context, concurrency, tensor_parallel, place)
    gpu = _smallest(machine.gpus) if place != "memory" and machine.gpus else None
    plan = _Plan(card, gpu, weight_bytes(card, weights or usual_weights(card)), kv_format(kv), tensor_parallel if gpu is not None else 1)
    capacity, kept = _capacity(plan, machine)
    lines = _lines(plan, context, concurrency)
    total = sum(line.bytes for line in lines)
    budget = capacity - kept.bytes

    def fits(tokens: int, sequences: int) -> bool:
        return needed(plan, tokens, sequences) <= budget

    return Estimate(
        model=card.name,
        machine=machine.name,
        place=plan.place,
        device=gpu.name if gpu is not None else (machine.cpu or "CPU"),
        weights=plan.weights.format,
        kv=plan.kv.key,
        context=context,
        concurrency=concurrency,
        tensor_parallel=plan.parallel,
        capacity=capacity,
        kept_free=kept,
        lines=lines,
        total=total,
        left=budget - total,
        fits=total <= budget,
        largest_context=largest(lambda tokens: fits(tokens, concurrency), card.context),
        largest_concurrency=largest(lambda sequences: fits(context, sequences), MOST_SEQUENCES),
        model_context=card.context,
        weight_formats=_weight_formats(plan, context, concurrency, budget),
        kv_formats=_kv_formats(plan, context, concurrency, budget),
        notes=_notes(card, context, gpu, plan) + _in_the_way(plan, machine, budget - total, capacity - total),
    )


@dataclass(frozen=True)
class CacheRoom:
    """What a machine leaves for a KV cache of any kind. With tensor parallelism every figure is one GPU's."""

    place: Place
    device: str
    tensor_parallel: int
    capacity: int
    kept_free: Line
    weights: Line
    runtime: Line
    _plan: _Plan

    def bytes(self, context: int, concurrency: int) -> int:
        """Left for the cache next to weights, activations and runtime; negative: so much is missing before there is any cache."""
        activations = _activations(self._plan, context, concurrency).bytes
        return self.capacity - self.kept_free.bytes - self.weights.bytes - self.runtime.bytes - activations


def cache_room(card: ModelCard, machine: Machine, *, weights: str | None = None, tensor_parallel: int = 1, place: Place | None = None) -> CacheRoom:
    """The budget of `estimate` without its cache, for schemes that have formulas of their own; arguments and errors as of `estimate`."""
    _check(card, machine, 1, 1, tensor_parallel, place)
    gpu = _smallest(machine.gpus) if place != "memory" and machine.gpus else None
    plan = _Plan(card, gpu, weight_bytes(card, weights or usual_weights(card)), kv_format("fp16"), tensor_parallel if gpu is not None else 1)
    capacity, kept = _capacity(plan, machine)
    weight_line, _, _, runtime = _lines(plan, 1, 1)
    device = gpu.name if gpu is not None else (machine.cpu or "CPU")
    return CacheRoom(plan.place, device, plan.parallel, capacity, kept, weight_line, runtime, plan)


def needed(plan: _Plan, context: int, concurrency: int) -> int:
    """Bytes that a plan takes; never less for more context or more sequences."""
    return sum(line.bytes for line in _lines(plan, context, concurrency))


def _lines(plan: _Plan, context: int, concurrency: int) -> tuple[Line, ...]:
    share = f", divided by {plan.parallel} GPUs" if plan.parallel > 1 else ""
    weights = Line("weights", -(-plan.weights.total // plan.parallel), f"{plan.card.parameters:,} parameters: {plan.weights.how}{share}")
    return weights, _kv_line(plan, context, concurrency), _activations(plan, context, concurrency), _runtime(plan)


def _kv_line(plan: _Plan, context: int, concurrency: int) -> Line:
    card = plan.card
    whole = card.kv_bytes(context, concurrency, plan.kv.bits)
    if card.latent_cache is not None:
        held, shared = whole, " (the latent is on every GPU)" if plan.parallel > 1 else ""
    else:
        heads = -(-card.kv_heads // plan.parallel)
        held = -(-whole * heads // card.kv_heads)
        shared = f", {heads} of {card.kv_heads} KV heads on each GPU" if plan.parallel > 1 else ""
    window = f", {card.sliding_layers} layers keep {card.sliding_window:,} tokens at most" if card.sliding_window and card.sliding_layers else ""
    how = f"{concurrency:,} x {context:,} tokens x {card.kv_bytes_per_token(plan.kv.bits):,.0f} bytes ({plan.kv.how}){window}{shared}"
    return Line("kv cache", held, how)


def _activations(plan: _Plan, context: int, concurrency: int) -> Line:
    card = plan.card
    batch = BATCH_TOKENS if plan.gpu is not None else HOST_BATCH_TOKENS
    tokens = min(context * concurrency, batch)
    width = 2 if plan.gpu is not None else 4
    # residual stream, its normed copy, attention output and q/k/v, gate and up with their product; logits of each sequence and their softmax
    hidden = (
        tokens * width * (3 * card.hidden_size + -(-((card.heads + 2 * card.kv_heads) * card.head_dim + 3 * card.intermediate_size) // plan.parallel))
    )
    logits = concurrency * card.vocabulary * 4 * 2
    how = f"{tokens:,} tokens per step (at most {batch:,}) through one block in {8 * width} bits; logits of every sequence twice in 32 bits"
    return Line("activations", hidden + logits, how)


def _runtime(plan: _Plan) -> Line:
    if plan.gpu is None:
        return Line("runtime", HOST_PROCESS, f"an allowance of {HOST_PROCESS // MEBIBYTE} MiB for the engine's process")
    parts = [(CUDA_CONTEXT, "the CUDA context and kernels"), (CUDA_WORKSPACES, "workspaces and CUDA graphs")]
    if plan.parallel > 1:
        parts.append((NCCL_BUFFERS, "communication buffers"))
    words = ", ".join(f"{size // MEBIBYTE} MiB for {name}" for size, name in parts)
    return Line("runtime", sum(size for size, _ in parts), f"an allowance: {words}; compare with the memory of the live process")


def _capacity(plan: _Plan, machine: Machine) -> tuple[int, Line]:
    if plan.gpu is not None and not plan.gpu.unified:
        free = round(plan.gpu.memory * (1 - GPU_SHARE))
        return plan.gpu.memory, Line("kept free", free, f"vLLM takes {GPU_SHARE:.0%} of the GPU by default (--gpu-memory-utilization)")
    free = max(round(machine.ram * (1 - MEMORY_SHARE)), min(GIBIBYTE, machine.ram // 4))
    return machine.ram, Line("kept free", free, f"{1 - MEMORY_SHARE:.0%} of main memory, at least 1 GiB, for the system and other programs")


def largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest n in 1..most that fits, 0 when none does; `fits` turns false once and for all."""
    if not fits(1):
        return 0
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _weight_formats(plan: _Plan, context: int, concurrency: int, budget: int) -> tuple[FormatLine, ...]:
    others = needed(plan, context, concurrency) - _lines(plan, context, concurrency)[0].bytes
    keys = ([STORED] if plan.card.file_bytes > 0 else []) + list(WEIGHT_FORMATS)
    rows = []
    for key in keys:
        cost = weight_bytes(plan.card, key)
        each = -(-cost.total // plan.parallel)
        title = WEIGHT_FORMATS[key].title if key in WEIGHT_FORMATS else "as stored"
        rows.append(FormatLine(key, title, each, cost.bits_per_weight, others + each <= budget, cost.how))
    return tuple(rows)


def _kv_formats(plan: _Plan, context: int, concurrency: int, budget: int) -> tuple[FormatLine, ...]:
    rows = []
    for form in KV_FORMATS.values():
        other = replace(plan, kv=form)
        line = _kv_line(other, context, concurrency)
        rows.append(FormatLine(form.key, form.title, line.bytes, form.bits, needed(other, context, concurrency) <= budget, form.how))
    return tuple(rows)


def _notes(card: ModelCard, context: int, gpu: Gpu | None, plan: _Plan) -> tuple[str, ...]:
    notes = []
    if context > card.context:
        notes.append(f"{context:,} tokens exceed the {card.context:,} that {card.name} was trained for")
    notes += count_notes(card)
    if card.recurrent_layers:
        notes.append(f"{card.recurrent_layers} recurrent layers keep a state of fixed size, which is not counted")
    if plan.weights.format == "fp8" and gpu is not None and not gpu.fp8:
        notes.append(f"{gpu.name} has no FP8 units: the weights would be dequantized before each product")
    if gpu is not None and gpu.unified:
        notes.append(f"{gpu.name} works in the host's memory")
    return tuple(notes)


def count_notes(card: ModelCard) -> list[str]:
    """What the counts of a card do not say of themselves."""
    notes = []
    if card.parameters_from == "assumed":
        notes.append(f"transformers cannot build {card.model_type} from its configuration: parameters and cache assume blocks like Llama's")
    if card.engine_kv_heads is not None:
        heads = f"{card.kv_heads:,} heads, {card.engine_kv_heads:,} of them different"
        notes.append(f"the cache is transformers', which repeats keys and values to {heads}: vLLM and llama.cpp keep only these")
    return notes


def _in_the_way(plan: _Plan, machine: Machine, left: int, room: int) -> tuple[str, ...]:
    """What other programs hold now, where the plan fits without them and not next to them; `room` is what it leaves of everything."""
    if plan.gpu is not None and not plan.gpu.unified:
        used, where = max(gpu.used for gpu in machine.gpus), plan.gpu.name
    else:
        used, where = machine.ram_used, "main memory"
    if left < 0 or used <= room:
        return ()
    return (
        f"{used / GIBIBYTE:,.1f} GiB of {where} are in use by other programs: this fits once {(used - room) / GIBIBYTE:,.1f} GiB of them are free",
    )


def _smallest(gpus: tuple[Gpu, ...]) -> Gpu:
    return min(gpus, key=lambda gpu: gpu.memory)


def _check(card: ModelCard, machine: Machine, context: int, concurrency: int, parallel: int, place: Place | None) -> None:
    if context < 1:
        raise RequestError(f"a context of {context} tokens is invalid: give at least 1")
    if not 1 <= concurrency <= MOST_SEQUENCES:
        raise RequestError(f"a concurrency of {concurrency} is invalid: give 1 to {MOST_SEQUENCES}")
    if parallel < 1:
        raise RequestError(f"tensor parallelism over {parallel} GPUs is invalid: give at least 1")
    if place == "gpu" and not machine.gpus:
        raise RequestError(f"{machine.name} has no GPU to plan for: plan for main memory, or name a GPU")
    if parallel > 1 and parallel > len(machine.gpus):
        raise RequestError(f"{parallel} GPUs are requested, but {machine.name} has {len(machine.gpus)}: request fewer")
    if card.heads % parallel:
        raise RequestError(f"the {card.heads} attention heads of {card.name} cannot be divided among {parallel} GPUs: choose a divisor")
