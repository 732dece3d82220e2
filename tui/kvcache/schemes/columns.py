"""One scheme as cells of a table, and in words. Pure."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text

from core.kvcache.catalog.catalog import SCHEMES
from core.kvcache.result import KvRow, NeedleFigure
from core.sanitize import clean
from tui.experiment.finished import Column
from tui.kvcache.schemes.entries import Entry
from tui.widgets import words

FULL, FRONT, REFUSED = "●", "◆", "✗"
SIGNS = f"{FULL} the full cache · {FRONT} no other is smaller and better · {REFUSED} refused"


def _sign(entry: Entry) -> str:
    sign = REFUSED if entry.row.refused is not None else FULL if entry.is_reference else FRONT if entry.on_front else " "
    return f"{entry.letter or ' '}{sign}"


def _name(entry: Entry) -> Text:
    return Text(clean(entry.row.name), style="bold" if entry.is_reference else "dim" if entry.row.refused is not None else "")


def _held(entry: Entry) -> str:
    return "refused" if entry.row.refused is not None else words.size(entry.row.bytes_held)


def _compression(entry: Entry) -> str:
    value = words.number(entry.row.compression)
    return words.NOTHING if value is None else f"{value:.2f}x"


def _ratio(entry: Entry) -> str:
    value = words.number(entry.row.ppl_ratio)
    return words.NOTHING if value is None else ("≠" if entry.foreign else "") + f"{value:.4f}"


def _ratio_with_error(entry: Entry) -> str:
    ratio, error = words.number(entry.row.ppl_ratio), words.number(entry.row.ln_ppl_ratio_se)
    text = _ratio(entry)
    return text if ratio is None or not error else f"{text} ±{ratio * error:.4f}"


def _milliseconds(value: float | None, entry: Entry) -> str:
    return words.figure(value, 3) if value is None or not entry.elsewhere else f"≠{words.figure(value, 3)}"


COLUMNS: tuple[Column[Entry], ...] = (
    Column("", 3, _sign, "left"),
    Column("scheme", 10, _name, "left"),
    Column("held", 9, _held, needs=71),
    Column("B/token", 8, lambda entry: words.count(entry.row.bytes_per_token), needs=62),
    Column("smaller", 8, _compression),
    Column("TTFT ms", 8, lambda entry: _milliseconds(entry.row.ttft_ms, entry), needs=79),
    Column("TPOT ms", 8, lambda entry: _milliseconds(entry.row.tpot_ms, entry)),
    Column("ppl ratio", 10, _ratio, below=86),
    Column("ppl ratio", 17, _ratio_with_error, needs=86),
    Column("KL", 9, lambda entry: words.figure(entry.row.kl_mean, 2), needs=110),
    Column("top-1", 8, lambda entry: words.percent(entry.row.top1_agreement, 1)),
    Column("needle", 7, lambda entry: words.percent(entry.row.needle_rate, 0)),
    Column("path", 8, lambda entry: entry.row.path or words.NOTHING, needs=118),
)
"""Of one run."""
_RUN = Column[Entry]("run", 10, lambda entry: entry.when, "left")


def _later(column: Column[Entry]) -> Column[Entry]:
    """A column that is shown, or left out, only in a window that has room for the run's too."""
    least = 66 if column.title == "TPOT ms" else column.needs and column.needs + _RUN.width
    return replace(column, needs=least, below=column.below + _RUN.width)


BESIDE: tuple[Column[Entry], ...] = (*COLUMNS[:2], _RUN, *map(_later, COLUMNS[2:]))
"""Of several runs."""


def in_words(entry: Entry) -> list[tuple[str, str]]:
    """Everything that was measured of a scheme, in words."""
    row = entry.row
    facts = SCHEMES.get(row.scheme)
    title = f"{clean(row.title)}{'' if row.own_heads else f', {row.heads} heads'}{f': {facts.summary}' if facts is not None else ''}"
    if row.refused is not None:
        return [(clean(row.name), title), ("refused", clean(row.refused))]
    return [
        (clean(row.name), title),
        ("memory", _memory(row)),
        ("time", _time(row)),
        ("quality", _quality(entry)),
        *([("needle", _needle(entry))] if row.needle else []),
        ("run", entry.found.run.id),
        *([("≠", "different text, window or convention from the first run's: quality is not comparable")] if entry.foreign else []),
        *([("≠", "times measured on a different device, or with different threads, dtype or lengths")] if entry.elsewhere else []),
    ]


def _memory(row: KvRow) -> str:
    agrees = "as the formula says" if row.bytes_held == row.bytes_formula else f"the formula says {words.size(row.bytes_formula)}"
    of = f"{words.count(row.sequences)} x {words.count(row.tokens)} tokens"
    return f"{words.size(row.bytes_held)} for {of}, {agrees}; {words.figure(row.bits_per_value, 3)} bits per value"


def _time(row: KvRow) -> str:
    beside = "" if row.tpot_ratio is None else f", {words.figure(row.tpot_ratio, 3)} of the full cache's {words.figure(row.tpot_reference_ms, 3)} ms"
    return f"first token {words.figure(row.ttft_ms, 3)} ms, each further {words.figure(row.tpot_ms, 3)} ms{beside}"


def _quality(entry: Entry) -> str:
    row = entry.row
    parts = [
        f"perplexity {words.plus_minus(words.figure(row.ppl), row.ppl_se)}",
        f"ratio {_ratio_with_error(entry)}",
        f"KL {words.plus_minus(words.figure(row.kl_mean, 2), row.kl_se)} nats",
        f"same top token {words.percent(row.top1_agreement)}",
    ]
    return ", ".join(parts)


def _needle(entry: Entry) -> str:
    convention = entry.found.result.needle
    chance = "" if convention is None else f"; by chance {words.percent(convention.chance, 0)}"
    return f"found {', '.join(map(_at_depth, entry.row.needle))}{chance}"


def _at_depth(figure: NeedleFigure) -> str:
    return f"{figure.hits} of {figure.trials} at {figure.depth} %"
