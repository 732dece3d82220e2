"""The events of a speculative run folded into what its live view shows. Pure: no screen, no disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.runs.state.events import Detail, Event
from core.speculate.events import PromptEvent, RoundEvent
from tui.experiment.progress import RunProgress

_ROUNDS = 300
"""Rounds of one text that are kept to be shown."""
_RECENT = 400
"""Rounds of which the course of acceptance is kept."""

Setting = tuple[str, int, float]
"""Drafter, gamma, temperature."""


@dataclass
class Tally:
    """What the rounds of one setting came to."""

    rounds: int = 0
    drafted: int = 0
    judged: int = 0
    """Drafts up to and with the first rejected one of each round."""
    accepted: int = 0
    emitted: int = 0
    milliseconds: float = 0.0
    """Of the rounds that were timed; the rows of a batch take theirs together."""
    timed: int = 0
    """Tokens that those rounds emitted, of all rows."""
    by_position: list[list[int]] = field(default_factory=list)
    """[i]: how often draft i + 1 was judged, and accepted."""
    _counted: set[tuple[int, int]] = field(default_factory=set)
    """First prompt of the batch and number of every round that was timed."""

    def apply(self, event: RoundEvent) -> None:
        """Count a round."""
        self.rounds += 1
        self.drafted += len(event.drafted)
        self.accepted += event.accepted
        judged = event.accepted + (event.rejected is not None)
        self.judged += judged
        self.emitted += len(event.emitted)
        for place in range(judged):
            while len(self.by_position) <= place:
                self.by_position.append([0, 0])
            self.by_position[place][0] += 1
            self.by_position[place][1] += place < event.accepted
        if event.draft_ms is not None and event.verify_ms is not None:
            self.timed += len(event.emitted)
            if (one := (event.prompt - event.row, event.n)) not in self._counted:
                self._counted.add(one)
                self.milliseconds += event.draft_ms + event.verify_ms

    @property
    def acceptance(self) -> float | None:
        """Accepted drafts over judged ones; None while nothing was judged."""
        return self.accepted / self.judged if self.judged else None

    @property
    def tokens_per_round(self) -> float | None:
        """Mean number of tokens that a round adds; None before the first."""
        return self.emitted / self.rounds if self.rounds else None

    @property
    def tokens_per_second(self) -> float | None:
        """By the rounds that were timed; None where none was."""
        return 1000 * self.timed / self.milliseconds if self.milliseconds else None

    @property
    def positions(self) -> Sequence[float]:
        """[i]: share of the rounds that accepted draft i + 1 among those that judged it."""
        return [accepted / judged for judged, accepted in self.by_position]


@dataclass
class SpeculateProgress(RunProgress):
    """What has been heard of a speculative run."""

    begin: PromptEvent | None = None
    """The text that is shown: the newest of the batch's first row."""
    rounds: list[RoundEvent] = field(default_factory=list)
    """Of that text."""
    setting: Setting | None = None
    """Of the newest round."""
    tallies: dict[Setting, Tally] = field(default_factory=dict)
    recent: list[float | None] = field(default_factory=list)
    """Share of its drafts that each of the last rounds accepted, percent; None where there was no draft."""

    def apply(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case Detail(kind=PromptEvent.kind):
                if (begin := PromptEvent.parse(event.data)) is not None and begin.row == 0:
                    self.begin, self.rounds = begin, []
            case Detail(kind=RoundEvent.kind):
                if (found := RoundEvent.parse(event.data)) is not None:
                    self._round(found)
            case _:
                super().apply(event)

    def _round(self, event: RoundEvent) -> None:
        setting = (event.drafter, event.gamma, event.temperature)
        if setting != self.setting:
            self.setting, self.recent = setting, []
        self.tallies.setdefault(setting, Tally()).apply(event)
        self.recent.append(100 * event.accepted / len(event.drafted) if event.drafted else None)
        del self.recent[:-_RECENT]
        if event.row == 0:
            self.rounds.append(event)
            del self.rounds[:-_ROUNDS]

    @property
    def tally(self) -> Tally | None:
        """Of the setting in progress."""
        return self.tallies.get(self.setting) if self.setting is not None else None
