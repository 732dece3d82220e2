"""Detail events of a speculative run: what was drafted, accepted, rejected and corrected, round by round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from core.sanitize import clean

_TOKEN = 80
_TEXT = 2000
_MOST = 64


@dataclass(frozen=True, slots=True)
class PromptEvent:
    """A text begins. `text` is what the model was given, perhaps cut at the front.

    The rounds that follow with the same `prompt`, `gamma`, `temperature` and `row` go on with it.
    """

    kind: ClassVar[str] = "prompt"
    prompt: int
    """Number of the prompt in this run, from 0."""
    row: int
    """Sequence of the batch, 0 for a batch of 1."""
    text: str
    gamma: int
    temperature: float
    drafter: str
    first: str
    """Text of the first new token, which the prompt's own forward gave without a draft."""

    def data(self) -> dict[str, Any]:
        """For `RunContext.detail(PromptEvent.kind, ...)`."""
        return asdict(self)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self | None:
        """The event of a detail's data; None for anything else. Its texts are safe to show."""
        try:
            return cls(
                prompt=int(data["prompt"]),
                row=int(data.get("row", 0)),
                text=clean(str(data["text"]), limit=_TEXT, multiline=True),
                gamma=int(data["gamma"]),
                temperature=float(data["temperature"]),
                drafter=clean(str(data["drafter"]), limit=_TOKEN),
                first=token_text(str(data.get("first", ""))),
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class RoundEvent:
    """One round of one sequence: `drafted[:accepted]` were accepted; the next one, if any, was rejected and `corrected` stands in its place.

    What the round adds to the text is `drafted[:accepted]`, then `corrected` or `bonus`, whichever is not None; both are None when the text
    ended inside the accepted run (`ended`). Drafts behind the first rejected one were never judged.
    """

    kind: ClassVar[str] = "round"
    n: int
    """Number of the round in this text, from 0."""
    drafted: tuple[str, ...]
    """Texts of the drafted tokens, in order; empty when the drafter had nothing. Of a tree: the tokens of the branch that was followed, and
    behind them the likeliest sibling that was not."""
    accepted: int
    """How many of `drafted` stand in the text."""
    corrected: str | None = None
    """Token of the target in place of the rejected draft."""
    bonus: str | None = None
    """Token of the target behind a draft that was accepted whole, or where there was no draft."""
    prompt: int = 0
    row: int = 0
    gamma: int = 0
    temperature: float = 0.0
    drafter: str = ""
    candidates: int = 0
    """Drafted tokens that the target looked at: more than `len(drafted)` for a tree."""
    ended: str = ""
    """`stop` or `length` when the text ended in this round."""
    draft_ms: float | None = None
    """Milliseconds of drafting, where measured; of the whole batch."""
    verify_ms: float | None = None
    """Milliseconds of the target's forward and the judgement."""

    @property
    def emitted(self) -> tuple[str, ...]:
        """Texts of the tokens that the round added."""
        last = self.corrected if self.corrected is not None else self.bonus
        return (*self.drafted[: self.accepted], *(() if last is None else (last,)))

    @property
    def rejected(self) -> str | None:
        """Text of the draft that was judged and refused."""
        return self.drafted[self.accepted] if self.corrected is not None and self.accepted < len(self.drafted) else None

    def data(self) -> dict[str, Any]:
        """For `RunContext.detail(RoundEvent.kind, ...)`."""
        return asdict(self)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self | None:
        """The event of a detail's data; None for anything else. Its texts are safe to show, its figures fit each other."""
        try:
            drafted = tuple(token_text(str(text)) for text in list(data["drafted"])[:_MOST])
            return cls(
                n=int(data["n"]),
                drafted=drafted,
                accepted=min(max(int(data["accepted"]), 0), len(drafted)),
                corrected=_optional(data.get("corrected")),
                bonus=_optional(data.get("bonus")),
                prompt=int(data.get("prompt", 0)),
                row=int(data.get("row", 0)),
                gamma=int(data.get("gamma", 0)),
                temperature=float(data.get("temperature", 0.0)),
                drafter=clean(str(data.get("drafter", "")), limit=_TOKEN),
                candidates=int(data.get("candidates", 0)),
                ended=clean(str(data.get("ended", "")), limit=_TOKEN),
                draft_ms=None if data.get("draft_ms") is None else float(data["draft_ms"]),
                verify_ms=None if data.get("verify_ms") is None else float(data["verify_ms"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            return None


def token_text(text: str) -> str:
    """A token's text fit to be shown on one line: line feeds and tabs as visible signs, so that they are not lost among the spaces."""
    return clean(text.replace("\n", "\u23ce").replace("\t", "\u21e5"), limit=_TOKEN)


def _optional(text: Any) -> str | None:
    return None if text is None else token_text(str(text))
