"""What a decode through a paged cache showed, in words. Pure."""

from __future__ import annotations

from core.kvcache.pages.result import PagesResult, SequenceRow
from core.sanitize import clean
from tui.widgets import words
from tui.widgets.live import Line, clip, fit


def in_words(result: PagesResult) -> list[tuple[str, str]]:
    """What a decode showed, in words."""
    found = result.metrics
    same = {True: "identical to contiguous caches'", False: "not identical to contiguous caches'", None: "not compared"}[found.identical]
    difference = "" if found.logit_difference is None else f", logits differ by {words.figure(found.logit_difference, 2)} at most"
    held = f"{words.size(found.bytes_paged)} in pages at the fullest step, {words.size(found.bytes_contiguous)} contiguous"
    waste = f"{words.percent(found.waste_mean)} of the used blocks' slots empty on average, {words.percent(found.waste_contiguous_mean)} contiguous"
    shared = f"{words.count(found.hit_tokens)} prompt tokens found ({words.percent(found.hit_share, 1)}), {words.count(found.copies)} blocks copied"
    return [
        ("outputs", f"{same}{difference}; {words.count(found.tokens)} tokens, {words.figure(found.tokens_per_second, 3)} a second"),
        ("memory", held),
        ("waste", waste),
        ("shared", f"{shared}, {words.count(found.reused)} reused"),
        *(("note", clean(note)) for note in result.notes),
    ]


def sequences(result: PagesResult, width: int) -> list[Line]:
    """The sequences of a decode that is over."""
    rows = [row for row in result.rows if isinstance(row, SequenceRow)]
    wide = min(max((len(row.name) for row in rows), default=8), 18) + 2
    head = f"{'sequence':<{wide}}{'prompt':>7}{'found':>7}{'new':>6}{'blocks':>7}{'shared':>7}{'waited':>7}  text"
    lines: list[Line] = [clip(((head, "muted"),), width)]
    for row in rows:
        figures = (
            f"{words.count(row.prompt_tokens):>7}{words.count(row.hit_tokens):>7}{words.count(row.new_tokens):>6}"
            f"{words.count(row.blocks):>7}{words.count(row.shared_blocks):>7}{words.count(row.waited_steps):>7}  "
        )
        text = " ".join(clean(row.text, limit=120).split())
        lines.append(clip(((fit(clean(row.name), wide - 2) + "  ", "strong"), (figures, ""), (text, "muted")), width))
    return lines
