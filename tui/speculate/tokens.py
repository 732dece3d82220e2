"""Tokens of speculative decoding as text with signs. Pure: from rounds to lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

from core.sanitize import clean
from tui.widgets.live import Line, Run, Tone, fit

Kind = Literal["accepted", "rejected", "dropped", "corrected", "bonus"]

SIGNS: dict[Kind, str] = {"accepted": "✓", "rejected": "✗", "dropped": "·", "corrected": "→", "bonus": "+"}
TONES: dict[Kind, Tone] = {"accepted": "good", "rejected": "bad", "dropped": "muted", "corrected": "warn", "bonus": "accent"}
MEANINGS: dict[Kind, str] = {
    "accepted": "accepted",
    "rejected": "rejected",
    "dropped": "dropped behind it",
    "corrected": "corrected by the target",
    "bonus": "bonus of the target",
}
LINE_FEED, TAB = "↵", "⇥"
_TAB_CELLS = 4
_NUMBER, _SHARE = 5, 6
"""Columns for the number of a round and for what was accepted of it."""


@dataclass(frozen=True)
class Token:
    """A piece of text and what became of it."""

    text: str
    kind: Kind


@dataclass(frozen=True)
class Round:
    """One step: what was drafted, how much of that the target took, and what it added."""

    number: int
    drafted: tuple[str, ...]
    accepted: int
    corrected: str | None = None
    bonus: str | None = None

    def tokens(self) -> Iterator[Token]:
        """In the order in which they came: the drafted ones, then the target's own."""
        for place, text in enumerate(self.drafted):
            kind: Kind = "accepted" if place < self.accepted else "rejected" if place == self.accepted and self.corrected is not None else "dropped"
            yield Token(text, kind)
        if self.corrected is not None:
            yield Token(self.corrected, "corrected")
        if self.bonus is not None:
            yield Token(self.bonus, "bonus")


def flow(prompt: str, rounds: Iterable[Round], width: int) -> list[Line]:
    """The text in lines of at most `width` cells, each followed by a line with a sign below the first cell of every token.

    Tokens that the target refused stand where they were proposed. A line feed breaks the line where it is part of the text.
    """
    page = _Page(max(width, 1))
    for character in _characters(prompt):
        page.put(character, "muted")
    for each in rounds:
        for token in each.tokens():
            _write(page, token)
    return page.lines()


def listed(rounds: Sequence[Round], width: int) -> list[Line]:
    """One line a round: its number, how many of its tokens were accepted, then each token behind its sign."""
    return [_row(each, width) for each in rounds]


def legend(width: int) -> list[Line]:
    """What the signs mean, in as many lines as that takes."""
    parts: list[Run] = [(f"{SIGNS[kind]} {MEANINGS[kind]}", TONES[kind]) for kind in SIGNS]
    lines: list[list[Run]] = [[]]
    used = 0
    for text, tone in parts:
        gap = 2 if lines[-1] else 0
        if lines[-1] and used + gap + cell_len(text) > width:
            lines.append([])
            gap, used = 0, 0
        lines[-1] += [(" " * gap, ""), (text, tone)] if gap else [(text, tone)]
        used += gap + cell_len(text)
    return [tuple(line) for line in lines]


def window(lines: Sequence[Line], height: int, step: int = 1) -> Sequence[Line]:
    """The end of the lines in `height` rows. It moves on by half a height, so that most of the time nothing but the last line changes.

    Args:
        lines: all of them.
        height: rows there are.
        step: rows that belong together.
    """
    height -= height % step
    if height <= 0 or len(lines) <= height:
        return lines[: max(height, 0)]
    jump = max(height // 2 // step, 1) * step
    top = -(-(len(lines) - height) // jump) * jump
    return lines[top : top + height]


def inline(text: str) -> str:
    """A token on one line: line feeds and tabs as signs, nothing that could disturb a terminal."""
    return clean(text.replace("\r\n", "\n"), multiline=True).replace("\n", LINE_FEED).replace("\t", TAB)


class _Page:
    """Cells of text, and below each the sign of the token that begins there."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._done: list[Line] = []
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
        self._done += [_merged(self._text), _merged(self._signs)]
        self._text, self._signs, self._used = [], [], 0

    def lines(self) -> list[Line]:
        """Everything that was written."""
        return [*self._done, _merged(self._text), _merged(self._signs)] if self._text or self._done else []


def _write(page: _Page, token: Token) -> None:
    tone, sign = TONES[token.kind], SIGNS[token.kind]
    written = token.kind in ("accepted", "corrected", "bonus")
    for character in _characters(token.text) or " ":
        if character == "\n":
            page.put(LINE_FEED, tone, sign)
            if written:
                page.feed()
        else:
            page.put(character, tone, sign)
        sign = ""


def _characters(text: str) -> str:
    return clean(text.replace("\r\n", "\n"), multiline=True).replace("\t", " " * _TAB_CELLS)


def _row(each: Round, width: int) -> Line:
    judged = len(each.drafted)
    head: list[Run] = [(fit(str(each.number), _NUMBER - 1, "right") + " ", "muted"), (fit(f"{each.accepted}/{judged}", _SHARE), "strong")]
    room = width - _NUMBER - _SHARE
    for token in each.tokens():
        text = f"{SIGNS[token.kind]}{inline(token.text)}"
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
