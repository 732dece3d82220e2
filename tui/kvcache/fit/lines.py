"""What fits, as cells and lines. Pure. Every figure is an estimate."""

from __future__ import annotations

from core.kvcache.catalog.fit import Fit, FitGrid, FitRow
from core.sanitize import clean
from tui.experiment.finished import Column
from tui.widgets import words
from tui.widgets.live import Line, Run, clip

FITS, NOT = "✓", "✗"
_UNITS = ("", "K", "M", "G", "T")
_LABEL, _CELL = 10, 8


def _context(row: FitRow) -> str:
    return words.NOTHING if row.refused is not None else words.count(row.largest_context) if row.largest_context else "none"


def _sequences(row: FitRow) -> str:
    return words.NOTHING if row.refused is not None else words.count(row.largest_concurrency) if row.largest_concurrency else "none"


def _per_token(row: FitRow) -> str:
    return "refused" if row.bytes_per_token is None else f"{row.bytes_per_token / 1024:,.2f}"


def _fits(row: FitRow) -> str:
    return words.NOTHING if row.refused is not None else f"{FITS} yes" if row.fits else f"{NOT} no"


COLUMNS: tuple[Column[FitRow], ...] = (
    Column("scheme", 11, lambda row: clean(row.scheme), "left"),
    Column("KiB/token", 10, _per_token),
    Column("held", 10, lambda row: words.size(row.bytes)),
    Column("fits", 6, _fits),
    Column("context", 11, _context),
    Column("sequences", 10, _sequences),
    Column("keeps", 9, lambda row: "evicts" if row.evicts else "exact" if row.lossless else "rounds", needs=68),
)


def in_words(answer: Fit, model: str) -> list[tuple[str, str]]:
    """On what, what is left for the cache, what the columns mean."""
    each = f", on each of {answer.tensor_parallel} GPUs" if answer.tensor_parallel > 1 else ""
    room = f"{words.size(answer.room)} left for the cache" if answer.room >= 0 else f"{words.size(-answer.room)} short, even without a cache"
    return [
        (
            "estimate",
            f"{clean(model)} on {clean(answer.device)}, {words.size(answer.capacity)}{each}; weights {words.size(answer.weights_bytes)}; {room}",
        ),
        (
            "",
            f"context: the longest at {words.count(answer.concurrency)} at once (the model's is {words.count(answer.model_context)}); "
            f"sequences: the most of {words.count(answer.context)} tokens",
        ),
        *(("note", clean(note)) for note in answer.notes),
    ]


def grid(found: FitGrid, width: int, gpus: int) -> list[Line]:
    """Contexts down, sequences at once across: bytes of the cache, marked where they fit."""
    across = max(min((width - _LABEL) // _CELL, len(found.concurrencies)), 1)
    shown = found.concurrencies[:across]
    head = f"{'context':>{_LABEL - 2}}  " + "".join(f"{words.count(count):>{_CELL}}" for count in shown)
    title = f"{clean(found.scheme)}: bytes of the cache{' on each GPU' if gpus > 1 else ''}, context by sequences at once"
    lines: list[Line] = [clip(((title, "strong"),), width), ((head, "muted"),)]
    for context, sizes, fits in zip(found.contexts, found.bytes, found.fits, strict=True):
        cells: list[Run] = [(f"{words.count(context):>{_LABEL - 2}}  ", "muted")]
        for size, good in zip(sizes[:across], fits[:across], strict=True):
            cells.append((f"{(FITS if good else NOT) + ' ' + short(size):>{_CELL}}", "good" if good else "muted"))
        lines.append(tuple(cells))
    lines.append(((f"{FITS} fits  {NOT} does not", "muted"),))
    return lines


def short(size: float) -> str:
    """Bytes in at most five columns: `80.0M`, `1.2G`, `640K`."""
    value, unit = float(size), 0
    while value >= 999.5 and unit + 1 < len(_UNITS):
        value /= 1024
        unit += 1
    return f"{value:.0f}{_UNITS[unit]}" if value >= 99.95 or not unit else f"{value:.1f}{_UNITS[unit]}"
