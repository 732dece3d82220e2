"""Which context and how many sequences fit a machine with each cache scheme: by formula, for any model card.

Every figure is an estimate and, with tensor parallelism, one GPU's: KV heads are shared out, and repeated where there are more GPUs than heads.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from core.errors import RequestError
from core.hardware.plan.estimate import MEMORY_SHARE, MOST_SEQUENCES, CacheRoom, Place, cache_room, count_notes, largest
from core.hardware.plan.machine import Gpu, Machine
from core.hardware.snapshot import GIBIBYTE
from core.kvcache.catalog import sizes
from core.kvcache.catalog.catalog import SCHEMES, SchemeFacts, scheme
from core.kvcache.catalog.settings import SchemeSettings
from core.models.card import ModelCard
from core.models.kv_geometry import Geometry
from core.sanitize import clean

VALUE_BYTES = 2
"""Of a key or value as the model computes them on a server."""
_FULL = ("dynamic", "static", "paged")
"""Schemes that keep whatever the model keeps, windows and compressed vectors included."""
_ON_DEVICE = {"offload": sizes.offload_on_device}
"""Formulas of what counts against the device's memory, where that is not all."""
_FEWEST, _MOST_COLUMNS = 256, 10


@dataclass(frozen=True, slots=True)
class FitRow:
    """One scheme."""

    scheme: str
    title: str
    bytes_per_token: float | None
    """Of one sequence at this context, on one GPU; None where the model cannot have the scheme."""
    bytes: int | None
    """At this context and concurrency, on one GPU."""
    fits: bool
    largest_context: int
    """Most tokens of a sequence at this concurrency, at most the model's; 0: not even one."""
    largest_concurrency: int
    """Most sequences of this context; 0: not even one."""
    lossless: bool
    evicts: bool
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class FitGrid:
    """Contexts against concurrencies for one scheme."""

    scheme: str
    contexts: tuple[int, ...]
    concurrencies: tuple[int, ...]
    bytes: tuple[tuple[int, ...], ...]
    """By context, then by concurrency."""
    fits: tuple[tuple[bool, ...], ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """The answer for a model on a machine."""

    model: str
    machine: str
    place: Place
    device: str
    tensor_parallel: int
    context: int
    concurrency: int
    model_context: int
    capacity: int
    weights_bytes: int
    weights_how: str
    room: int
    """Bytes for the cache at this context and concurrency; negative: so much is missing."""
    kv_heads_per_gpu: int
    rows: tuple[FitRow, ...]
    grids: tuple[FitGrid, ...]
    settings: SchemeSettings
    notes: tuple[str, ...] = ()
    label: str = "estimate"

    def to_json(self) -> dict[str, object]:
        """Plain values for a JSON document."""
        return asdict(self) | {"settings": self.settings.model_dump()}


@dataclass(frozen=True)
class _Question:
    card: ModelCard
    geometry: Geometry
    """One GPU's."""
    settings: SchemeSettings
    room: CacheRoom
    main_memory: int
    """Bytes that may be planned for."""

    def bytes(self, name: str, tokens: int, sequences: int) -> int:
        """On one GPU."""
        if name in _FULL and (self.card.latent_cache is not None or self.card.recurrent_layers or self.card.sliding_layers or self.card.kv_blocks):
            kept = -(-tokens // self.settings.block) * self.settings.block if name == "paged" else tokens
            whole = self.card.kv_bytes(kept, sequences, 8 * VALUE_BYTES)
            return whole if self.card.latent_cache is not None else -(-whole * self.geometry.kv_heads // self.card.kv_heads)
        formula = _ON_DEVICE.get(name, scheme(name).formula)
        return formula(self.geometry, self.settings, tokens, sequences)

    def fits(self, name: str, tokens: int, sequences: int) -> bool:
        if name in _ON_DEVICE and scheme(name).formula(Geometry.of(self.card, VALUE_BYTES), self.settings, tokens, sequences) > self.main_memory:
            return False
        return self.bytes(name, tokens, sequences) <= self.room.bytes(tokens, sequences)


def machine_of_memory(gibibytes: float, gpus: int, here: Machine) -> Machine:
    """A machine with GPUs of which only the memory is known. Raises RequestError: no memory, or no GPUs."""
    if gibibytes <= 0 or gpus < 1:
        raise RequestError(f"{gpus} GPUs of {gibibytes:g} GiB are invalid: give at least one GPU with memory")
    gpu = Gpu(f"GPU of {gibibytes:g} GiB", round(gibibytes * GIBIBYTE))
    return replace(here, name=f"{gpus} x {gpu.name}", gpus=(gpu,) * gpus, gpu_problem=None)


def fit(
    card: ModelCard,
    machine: Machine,
    *,
    context: int | None = None,
    concurrency: int = 1,
    weights: str | None = None,
    tensor_parallel: int = 1,
    place: Place | None = None,
    settings: SchemeSettings | None = None,
) -> Fit:
    """What fits.

    Args:
        card: of the model.
        machine: where it shall run.
        context: tokens of a sequence; default: the model's context, at most 4096.
        concurrency: sequences at once.
        weights: key of `core.hardware.plan.formats.WEIGHT_FORMATS`, or `stored`; default: `usual_weights` there.
        tensor_parallel: GPUs that share the model.
        place: gpu or memory; default: gpu where there is one.
        settings: of the schemes.

    Raises:
        RequestError: a context beyond the model's, or what `core.hardware.plan.estimate.estimate` refuses.
    """
    tokens = min(4096, card.context) if context is None else context
    if tokens < 1:
        raise RequestError(f"a context of {tokens} tokens is invalid: give at least 1")
    if tokens > card.context:
        raise RequestError(f"a context of {tokens:,} tokens is more than the {card.context:,} of {clean(card.name)}: ask for less")
    if not 1 <= concurrency <= MOST_SEQUENCES:
        raise RequestError(f"a concurrency of {concurrency} is invalid: give 1 to {MOST_SEQUENCES}")
    room = cache_room(card, machine, weights=weights, tensor_parallel=tensor_parallel, place=place)
    question = _Question(card, _one_gpus(card, room.tensor_parallel), settings or SchemeSettings(), room, round(machine.ram * MEMORY_SHARE))
    rows = tuple(_row(question, facts, tokens, concurrency) for facts in SCHEMES.values())
    return Fit(
        model=card.name,
        machine=machine.name,
        place=room.place,
        device=room.device,
        tensor_parallel=room.tensor_parallel,
        context=tokens,
        concurrency=concurrency,
        model_context=card.context,
        capacity=room.capacity,
        weights_bytes=room.weights.bytes,
        weights_how=room.weights.how,
        room=room.bytes(tokens, concurrency),
        kv_heads_per_gpu=question.geometry.kv_heads,
        rows=rows,
        grids=tuple(_grid(question, row.scheme) for row in rows if row.refused is None),
        settings=question.settings,
        notes=_notes(card, room),
    )


def _one_gpus(card: ModelCard, parallel: int) -> Geometry:
    whole = Geometry.of(card, VALUE_BYTES)
    return replace(whole, heads=max(whole.heads // parallel, 1), kv_heads=max(-(-whole.kv_heads // parallel), 1))


def _row(question: _Question, facts: SchemeFacts, tokens: int, sequences: int) -> FitRow:
    name, refused = facts.name, _refusal(question, facts)
    if refused is not None:
        return FitRow(name, facts.title, None, None, False, 0, 0, facts.lossless, facts.evicts, refused)
    return FitRow(
        name,
        facts.title,
        question.bytes(name, tokens, 1) / tokens,
        question.bytes(name, tokens, sequences),
        question.fits(name, tokens, sequences),
        largest(lambda length: question.fits(name, length, sequences), question.card.context),
        largest(lambda count: question.fits(name, tokens, count), MOST_SEQUENCES),
        facts.lossless,
        facts.evicts,
    )


def _refusal(question: _Question, facts: SchemeFacts) -> str | None:
    if facts.needs_cuda and question.room.place != "gpu":
        return f"{facts.name} moves keys and values between GPU and main memory, but there is no GPU to plan for"
    if facts.name in _FULL:
        return None
    reason = facts.refusal(question.card, question.settings)
    return None if reason is None else f"{facts.name} {reason}"


def _grid(question: _Question, name: str) -> FitGrid:
    contexts = _powers(_FEWEST, question.card.context)
    concurrencies = _powers(1, 256)
    cells = tuple(tuple(question.bytes(name, context, count) for count in concurrencies) for context in contexts)
    fits = tuple(tuple(question.fits(name, context, count) for count in concurrencies) for context in contexts)
    return FitGrid(name, contexts, concurrencies, cells, fits)


def _powers(first: int, last: int) -> tuple[int, ...]:
    """`first` doubled again and again up to `last`, which ends the row; the largest of them, as many as fit a table."""
    found = []
    while first < last:
        found.append(first)
        first *= 2
    return (*found, last)[-_MOST_COLUMNS:]


def _notes(card: ModelCard, room: CacheRoom) -> tuple[str, ...]:
    notes = []
    if card.latent_cache is not None:
        notes.append("this model keeps one compressed vector per token (multi-head latent attention), which every GPU holds in full")
    elif room.tensor_parallel > card.kv_heads:
        notes.append(
            f"{room.tensor_parallel} GPUs are more than the {card.kv_heads} KV heads: each head is held by {room.tensor_parallel // card.kv_heads}"
        )
    if card.sliding_layers and card.sliding_window:
        notes.append(f"{card.sliding_layers} of {card.layers} layers use a sliding window and count at most {card.sliding_window:,} tokens")
    notes += count_notes(card)
    if card.recurrent_layers:
        notes.append(f"{card.recurrent_layers} recurrent layers keep a state of fixed size, which is not counted")
    return tuple(notes)
