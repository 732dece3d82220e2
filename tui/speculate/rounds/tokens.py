"""Tokens of speculative decoding as text with signs. Pure: from rounds to lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

from core.speculate.events import PromptEvent, RoundEvent
from tui.widgets.live import Line, Run, Tone, fit, wrapped

Kind = Literal["accepted", "rejected", "dropped", "corrected", "bonus"]

SIGNS: dict[Kind, str] = {"accepted": "✓", "rejected": "✗", "dropped": "·", "corrected": "→", "bonus": "+"}
TONES: dict[Kind, Tone] = {"accepted": "good", "rejected": "bad", "dropped": "muted", "corrected": "warn", "bonus": "accent"}
MEANINGS: dict[Kind, str] = {
    "accepted": "accepted",
    "rejected": "rejected",
    "dropped": "not judged",
    "corrected": "corrected",
    "bonus": "bonus",
}
LINE_FEED, TAB = "\N{RETURN SYMBOL}", "⇥"
Block = tuple[Line, ...]
"""Lines that belong together."""
TAB_CELLS = 4
_NUMBER, _SHARE = 5, 6
"""Columns for the number of a round and for what was accepted of it."""


@dataclass(frozen=True)
class Token:
    """A piece of text and what became of it."""

    text: str
    kind: Kind


def tokens_of(event: RoundEvent) -> Iterator[Token]:
    """The tokens of a round in the order in which they came: the drafted ones, then the target's own."""
    rejected = event.accepted if event.rejected is not None else -1
    for place, text in enumerate(event.drafted):
        yield Token(text, "accepted" if place < event.accepted else "rejected" if place == rejected else "dropped")
    if event.corrected is not None:
        yield Token(event.corrected, "corrected")
    if event.bonus is not None:
        yield Token(event.bonus, "bonus")


def flow(begin: PromptEvent | None, rounds: Iterable[RoundEvent], width: int) -> list[Block]:
    """The text in lines of at most `width` cells, each with a line that has a sign below the first cell of every token.

    Tokens that the target refused stand where they were proposed. A line feed breaks the line where it is part of the text.
    """
    page = _Page(max(width, 1))
    if begin is not None:
        for character in begin.text.replace("\t", " " * TAB_CELLS):
            if character == "\n":
                page.feed()
            else:
                page.put(character, "muted")
        _write(page, begin.first, "strong", "", written=True)
    for each in rounds:
        for token in tokens_of(each):
            _write(page, token.text, TONES[token.kind], SIGNS[token.kind], written=token.kind in ("accepted", "corrected", "bonus"))
    return page.blocks()


def listed(rounds: Sequence[RoundEvent], width: int) -> list[Block]:
    """One line a round: its number, how many of its tokens were accepted, then each token behind its sign."""
    return [(_row(each, width),) for each in rounds]


def legend(width: int) -> list[Line]:
    """What the signs mean, in as many lines as that takes."""
    return wrapped([(f"{SIGNS[kind]} {MEANINGS[kind]}", TONES[kind]) for kind in SIGNS], width)


def window(blocks: Sequence[Block], height: int) -> list[Line]:
    """The end of the blocks in `height` rows.

    When they are full, half of them move out at once, so that most of the time nothing but the last lines change.
    """
    first, used = 0, 0
    for at, block in enumerate(blocks):
        used += len(block)
        if used > height:
            while used > max(height // 2, len(block)) and first < at:
                used -= len(blocks[first])
                first += 1
    return [line for block in blocks[first:] for line in block][: max(height, 0)]


class _Page:
    """Cells of text, and below each the sign of the token that begins there."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._done: list[Block] = []
        self._text: list[Run] = []
        self._signs: list[Run] = []
        self._used = 0

    def put(self, character: str, tone: Tone, sign: str = "") -> None:
        """Write one character; `sign` goes below it."""
        cells = cell_len(character)
        if self._used + cells > self._width:
            self.feed()
        self._text.append((character, tone))
        if cells:
            self._signs.append((fit(sign, cells), tone if sign else ""))
        self._used += cells

    def feed(self) -> None:
        """Begin a new line."""
        self._done.append(self._block())
        self._text, self._signs, self._used = [], [], 0

    def blocks(self) -> list[Block]:
        """Everything that was written; lines without a single sign stand alone."""
        return [*self._done, self._block()] if self._text else self._done

    def _block(self) -> Block:
        text = _merged(self._text)
        return (text, _merged(self._signs)) if any(tone for _, tone in self._signs) else (text,)


def _write(page: _Page, text: str, tone: Tone, sign: str, *, written: bool) -> None:
    """Write a token. The signs for line feed and tab are those of `core.speculate.events`."""
    for character in text or " ":
        if character == TAB:
            for cell in TAB.ljust(TAB_CELLS):
                page.put(cell, tone, sign)
                sign = ""
            continue
        page.put(character, tone, sign)
        sign = ""
        if character == LINE_FEED and written:
            page.feed()


def _row(each: RoundEvent, width: int) -> Line:
    head: list[Run] = [
        (fit(str(each.n + 1), _NUMBER - 1, "right") + " ", "muted"),
        (fit(f"{each.accepted}/{len(each.drafted)}", _SHARE), "strong"),
    ]
    room = width - _NUMBER - _SHARE - 1
    for token in tokens_of(each):
        text = f"{SIGNS[token.kind]}{token.text}"
        cells = cell_len(text) + 1
        if cells > room:
            head.append(("…", "muted"))
            break
        head += [(text, TONES[token.kind]), (" ", "")]
        room -= cells
    return tuple(head)


def _merged(runs: Sequence[Run]) -> Line:
    """Neighbouring runs of one tone as one."""
    found: list[Run] = []
    for text, tone in runs:
        if found and found[-1][1] == tone:
            found[-1] = (found[-1][0] + text, tone)
        else:
            found.append((text, tone))
    return tuple(found)
