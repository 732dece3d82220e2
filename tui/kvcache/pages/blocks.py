"""The block table of a paged cache as lines: a cell a block, sequences with their tables, what is used and what is wasted. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from core.kvcache.pages.events import Block, PageEvent
from core.kvcache.pages.schedule.events import ScheduleEvent
from core.runs.state.events import Detail, Event
from tui.experiment.progress import RunProgress
from tui.widgets import words
from tui.widgets.chart.strip import history, meter
from tui.widgets.live import Line, Run, Tone, clip, fit, wrapped

FREE, FOUND, PRIVATE, COPIED = "·", "∘", "▪", "+"
_MOST_SHARED = 9
_LABEL = 6
_LONGEST_NAME, _STATE, _FIGURE = 18, 9, 7
_KEPT = 400
"""Points of a history."""


@dataclass
class PagesProgress(RunProgress):
    """The last state of the blocks, and how it came to be."""

    event: PageEvent | None = None
    copied: set[int] = field(default_factory=set)
    """Blocks that were written by copy and are still held."""
    fullest: PageEvent | None = None
    """The state in which most blocks were in use."""
    copied_then: frozenset[int] = frozenset()
    """As `copied`, in that state."""
    happened: list[str] = field(default_factory=list)
    """The last changes in words, newest last."""
    used: list[float | None] = field(default_factory=list)
    """Percent of the blocks in use, step by step."""
    wasted: list[float | None] = field(default_factory=list)
    """Percent of their slots that hold no token."""
    contiguous: list[float | None] = field(default_factory=list)
    """The same for pre-allocated caches."""
    schedules: dict[str, ScheduleEvent] = field(default_factory=dict)
    """The last state of each simulated policy."""
    loads: dict[str, list[float | None]] = field(default_factory=dict)
    """Percent of the blocks in use by policy, event by event."""

    def apply(self, event: Event) -> None:
        match event:
            case Detail(kind=PageEvent.kind):
                if (found := PageEvent.parse(event.data)) is not None:
                    self._pages(found)
            case Detail(kind=ScheduleEvent.kind):
                if (state := ScheduleEvent.parse(event.data)) is not None:
                    self.schedules[state.policy] = state
                    self._keep(self.loads.setdefault(state.policy, []), 100 * state.utilization)
            case _:
                super().apply(event)

    def _pages(self, event: PageEvent) -> None:
        names = {sequence.id: sequence.name for sequence in event.sequences}
        for change in event.changes:
            if change.kind == "copy":
                self.copied.add(change.block)
            elif change.kind in ("take", "reuse", "free", "hit"):
                self.copied.discard(change.block)
            if (sentence := _SENTENCES.get(change.kind)) is not None:
                name = names.get(change.sequence, f"sequence {change.sequence}")
                other = names.get(change.other, str(change.other))
                self.happened.append(sentence.format(name=name, block=change.block, other=other))
        del self.happened[:-40]
        self.event = event
        if self.fullest is None or event.used > self.fullest.used:
            self.fullest, self.copied_then = event, frozenset(self.copied)
        if event.phase in ("prefill", "decode"):
            self._keep(self.used, 100 * event.utilization)
            self._keep(self.wasted, 100 * event.waste)
            self._keep(self.contiguous, 100 * event.waste_contiguous)

    @staticmethod
    def _keep(values: list[float | None], value: float) -> None:
        values.append(value)
        del values[:-_KEPT]


_SENTENCES = {
    "arrive": "{name} arrived",
    "hit": "{name} shares block {block}, found by its hash",
    "reuse": "{name} took block {block}; its cached content is lost",
    "fork": "{name} shares every block of {other}",
    "copy": "{name} had to write block {other}, which others share: it wrote a copy, block {block}",
    "finish": "{name} is done",
}


def sign(block: Block, copied: bool) -> Run:
    """The cell of a block."""
    if block.free:
        return (FOUND, "quiet-bar") if block.cached else (FREE, "muted")
    if block.references > 1:
        return (str(min(block.references, _MOST_SHARED)), "accent")
    return (COPIED, "warn") if copied else (PRIVATE, "bar")


def legend(width: int) -> list[Line]:
    """What the signs mean."""
    parts: list[Run] = [
        (f"{FREE} free", "muted"),
        (f"{FOUND} free, still cached", "quiet-bar"),
        (f"{PRIVATE} one sequence", "bar"),
        (f"2-{_MOST_SHARED} shared by that many", "accent"),
        (f"{COPIED} written by copy", "warn"),
    ]
    return wrapped(parts, width)


def grid(blocks: Sequence[Block], copied: Iterable[int], width: int, height: int) -> list[Line]:
    """A cell a block in at most `height` lines, the number of the first block before each line; two columns a cell where there is room."""
    of_copy = set(copied)
    wide = _across(width, 2)
    step = 2 if -(-len(blocks) // wide) <= height else 1
    across = wide if step == 2 else _across(width, 1)
    lines: list[Line] = []
    for first in range(0, len(blocks), across):
        if len(lines) == height - 1 and first + across < len(blocks):
            lines.append(((f"and {len(blocks) - first} more blocks", "muted"),))
            break
        cells: list[Run] = [(f"{first:>{_LABEL - 2}}  ", "muted")]
        for number in range(first, min(first + across, len(blocks))):
            text, tone = sign(blocks[number], number in of_copy)
            cells.append((text + " " * (step - 1), tone))
        lines.append(tuple(cells))
    return lines


def _across(width: int, step: int) -> int:
    """Blocks in a line: a multiple of eight where that many fit."""
    room = max((width - _LABEL) // step, 1)
    return room - room % 8 if room >= 8 else room


def sequences(event: PageEvent, copied: Iterable[int], width: int, height: int) -> list[Line]:
    """A line a sequence: state, tokens, tokens found in the pool, the table; shared blocks with *, copied ones with +. Waiting ones are counted."""
    of_copy = set(copied)
    running = [sequence for sequence in event.sequences if sequence.state != "waiting"]
    waiting = len(event.sequences) - len(running)
    wide = min(max((len(sequence.name) for sequence in running), default=8), _LONGEST_NAME) + 2
    head = f"{'sequence':<{wide}}{'state':<{_STATE}}{'tokens':>{_FIGURE}}{'found':>{_FIGURE}}{'blocks':>{_FIGURE}}  table (* shared, + copied)"
    lines: list[Line] = [clip(((head, "muted"),), width)]
    room = max(height - 1 - (1 if waiting else 0), 0)
    shown = running if len(running) <= room else running[: max(room - 1, 0)]
    for sequence in shown:
        figures = f"{words.count(sequence.tokens):>{_FIGURE}}{words.count(sequence.hits):>{_FIGURE}}{len(sequence.table):>{_FIGURE}}  "
        cells: list[Run] = [(fit(sequence.name, wide - 2) + "  ", "strong"), (fit(sequence.state, _STATE - 1) + " ", ""), (figures, "")]
        for number in sequence.table:
            shared = number < len(event.blocks) and event.blocks[number].references > 1
            tone: Tone = "accent" if shared else "warn" if number in of_copy else ""
            cells.append((f"{number}{'*' if shared else COPIED if number in of_copy else ''} ", tone))
        lines.append(clip(tuple(cells), width))
    if len(shown) < len(running):
        lines.append(((f"and {len(running) - len(shown)} more running", "muted"),))
    if waiting:
        lines.append(((f"{waiting} waiting", "muted"),))
    return lines


def figures(event: PageEvent, progress: PagesProgress, width: int) -> list[Line]:
    """Utilization and waste of a state, compared with caches that are allocated in advance, each with its history."""
    bar = 16 if width >= 90 else 8
    strip = min(width - 64 - bar, 40)
    totals = event.totals
    reserved = f"empty, with {words.count(event.reserved_each)} tokens reserved each"
    rows: list[tuple[str, float, str, Sequence[float | None]]] = [
        ("in use", 100 * event.utilization, f"{words.count(event.used)} of {words.count(event.pool)} blocks, step {event.step}", progress.used),
        ("empty slots", 100 * event.waste, f"{words.count(event.stored)} tokens stored, {words.count(event.tokens)} with shares", progress.wasted),
        ("contiguous", 100 * event.waste_contiguous, reserved, progress.contiguous),
    ]
    lines: list[Line] = []
    for name, percent, sentence, values in rows:
        past: list[Run] = [(" ", ""), (history(values, strip), "quiet-bar")] if strip >= 8 else []
        text = fit(sentence, 40) if past else sentence
        lines.append(clip(((f"{name:<12}", "muted"), (meter(percent, bar), "bar"), (f" {percent:5.1f} %  {text}", ""), *past), width))
    sums = (
        f"{words.count(totals.hit_tokens)} prompt tokens found, {words.count(totals.copies)} copies, "
        f"{words.count(totals.reused)} reused, {words.count(totals.finished)} sequences done"
    )
    lines.append(clip((("so far      ", "muted"), (sums, "")), width))
    return lines
