"""The budget of a model as lines: one stacked bar, its items, and what fits at most."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from core.hardware.plan.estimate import Estimate, FormatLine
from core.sanitize import clean
from tui.hardware import words
from tui.widgets.chart.strip import meter
from tui.widgets.live import Line, Tone, clip, fit

_PARTS: tuple[tuple[str, Tone], ...] = (("█", "bar"), ("▒", "accent"), ("▓", "good"), ("░", "quiet-bar"), ("▞", "muted"))
"""Sign and tone of weights, KV cache, activations, runtime, and what is kept free."""
_FREE = "·"


def budget(answer: Estimate, width: int) -> list[Line]:
    """Nine lines, and one for each note."""
    verdict: tuple[str, Tone] = ("fits", "good") if answer.fits else ("does not fit", "bad")
    where = f"{clean(answer.model)} on {clean(answer.device)}"
    each = f", each of {answer.tensor_parallel}" if answer.tensor_parallel > 1 else ""
    lines: list[Line] = [
        clip((("estimate: ", "muted"), verdict, ("  ", ""), (where, "strong"), (f"  {words.size(answer.capacity)}{each}", "muted")), width),
        _bar(answer, width),
    ]
    items = (*answer.lines, answer.kept_free)
    lines += [clip(_item(sign, tone, item.name, item.bytes, item.how), width) for (sign, tone), item in zip(_PARTS, items, strict=True)]
    lines.append(clip(_left(answer), width))
    lines.append(clip(_most(answer), width))
    return lines + [clip((("note: ", "warn"), (clean(note), "")), width) for note in answer.notes]


def problem(sentence: str, width: int) -> list[Line]:
    """Why there is no budget."""
    return [((text, "bad"),) for text in textwrap.wrap(f"! {clean(sentence)}", max(width - 1, 8))]


def format_head(width: int) -> Line:
    """The head of the table of formats."""
    return ((f" {'for':<8}{'format':<15}{'estimate':>10}{'bits':>7}  {fit('share', _share(width))} {'fits':<5}how", "muted"),)


def format_row(kind: str, line: FormatLine, answer: Estimate, width: int) -> Line:
    """What a format would cost in place of the chosen one."""
    chosen = line.format in (answer.weights, answer.kv)
    share = 100 * line.bytes / answer.capacity if answer.capacity else None
    return (
        (f"{kind:<8}", "muted"),
        (fit(("● " if chosen else "  ") + line.format, 15), "strong" if chosen else ""),
        (f"{words.size(line.bytes):>10}", ""),
        (f"{line.bits:>7.2f}  ", "muted"),
        (meter(share, _share(width)), "bar"),
        (" yes  " if line.fits else " no   ", "good" if line.fits else "bad"),
        (clean(line.how), "muted"),
    )


def _share(width: int) -> int:
    return 10 if width < 100 else 24


def _bar(answer: Estimate, width: int) -> Line:
    """All items side by side to scale, then what is left."""
    sizes = [item.bytes for item in (*answer.lines, answer.kept_free)]
    scale = max(answer.capacity, sum(sizes), 1)
    ends = [round(sum(sizes[: at + 1]) / scale * width) for at in range(len(sizes))]
    starts = [0, *ends[:-1]]
    runs = [(sign * (end - start), tone) for (sign, tone), start, end in zip(_PARTS, starts, ends, strict=True) if end > start]
    return (*runs, (_FREE * (width - ends[-1]), "muted"))


def _item(sign: str, tone: Tone, name: str, n_bytes: int, how: str) -> Line:
    return ((f"{sign * 2} ", tone), (f"{fit(name, 12)}", ""), (f"{words.size(n_bytes):>10}  ", "strong"), (clean(how), "muted"))


def _left(answer: Estimate) -> Line:
    if answer.left >= 0:
        return _item(_FREE, "muted", "left", answer.left, "for more context or more sequences")
    return (
        ("!! ", "bad"),
        (fit("missing", 12), "bad"),
        (f"{words.size(-answer.left):>10}  ", "bad"),
        ("choose a smaller format below, or less context", "muted"),
    )


def _most(answer: Estimate) -> Line:
    context = f"{answer.largest_context:,} tokens" if answer.largest_context else "none"
    concurrency = f"{answer.largest_concurrency:,}" if answer.largest_concurrency else "none"
    return (
        ("largest context at ", "muted"),
        (f"{answer.concurrency:,} at once: ", "muted"),
        (context, "strong"),
        ("   most at once at ", "muted"),
        (f"{answer.context:,} tokens: ", "muted"),
        (concurrency, "strong"),
    )


def format_rows(answer: Estimate, width: int) -> Sequence[tuple[tuple[str, str], Line]]:
    """Rows by (weights or kv, format)."""
    rows = [(("weights", line.format), format_row("weights", line, answer, width)) for line in answer.weight_formats]
    return rows + [(("kv", line.format), format_row("KV", line, answer, width)) for line in answer.kv_formats]
