"""Counts over rounds: how far drafts are right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class RoundLike(Protocol):
    """What is counted of `core.speculate.bench.loop.Round`."""

    drafted: list[list[int]]
    accepted: list[int]
    emitted: list[list[int]]
    candidates: int


@dataclass
class Tally:
    """Counts of rounds; the first round of a text, which has no draft by its nature, is left out."""

    judged: list[int] = field(default_factory=list)
    """[i]: drafts i + 1 that were accepted or rejected; what follows a rejected one, or behind the end of a text, is neither."""
    accepted: list[int] = field(default_factory=list)
    rounds: int = 0
    """Of single rows."""
    with_draft: int = 0
    trees: bool = False
    """Whether candidates were verified as a tree, which costs the same whatever was followed of it."""
    drafted: int = 0
    emitted: int = 0

    def add(self, rounds: Iterable[RoundLike]) -> None:
        """Count the rounds of a text, its first included."""
        for number, done in enumerate(rounds):
            if not number:
                continue
            for drafted, accepted, emitted in zip(done.drafted, done.accepted, done.emitted, strict=True):
                if emitted:
                    self.trees |= done.candidates > 0
                    self._count(drafted, accepted, emitted, done.candidates or len(drafted))

    def _count(self, drafted: Sequence[int], accepted: int, emitted: Sequence[int], candidates: int) -> None:
        self.rounds += 1
        self.emitted += len(emitted)
        self.with_draft += bool(drafted)
        self.drafted += candidates
        refused = accepted < len(drafted) and len(emitted) > accepted
        for counts, reached in ((self.judged, accepted + refused), (self.accepted, accepted)):
            counts += [0] * (reached - len(counts))
            for position in range(reached):
                counts[position] += 1

    @property
    def alpha(self) -> float | None:
        """Accepted over judged drafts; None when none was judged."""
        return sum(self.accepted) / sum(self.judged) if self.judged else None

    @property
    def by_position(self) -> tuple[float, ...]:
        """Accepted over judged, by position."""
        accepted = self.accepted + [0] * (len(self.judged) - len(self.accepted))
        return tuple(right / all_ for right, all_ in zip(accepted, self.judged, strict=True))

    @property
    def accepted_per_round(self) -> float:
        """Mean accepted drafts."""
        return sum(self.accepted) / self.rounds if self.rounds else 0.0

    @property
    def tokens_per_round(self) -> float:
        """Mean tokens that a round adds to a row."""
        return self.emitted / self.rounds if self.rounds else 0.0

    @property
    def drafted_share(self) -> float:
        """Share of rounds that had a draft."""
        return self.with_draft / self.rounds if self.rounds else 0.0

    @property
    def drafted_per_round(self) -> float:
        """Mean length of a draft where there was one; of a tree, its candidates."""
        return self.drafted / self.with_draft if self.with_draft else 0.0
