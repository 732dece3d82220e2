"""Detail events of a speculative run: what was drafted, accepted, rejected and corrected, round by round."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, ValidationInfo, field_validator

from core.event import DetailEvent, Label, at_most, shown
from core.sanitize import clean

_TOKEN = 80
_TEXT = 2000
_MOST = 64


def token_text(text: str) -> str:
    """A token's text fit to be shown on one line: line feeds and tabs as visible signs, so that they are not lost among the spaces."""
    return clean(text.replace("\n", "\u23ce").replace("\t", "\u21e5"), limit=_TOKEN)


TokenText = Annotated[str, BeforeValidator(lambda text: token_text(text) if isinstance(text, str) else text)]


class PromptEvent(DetailEvent):
    """A text begins. `text` is what the model was given, perhaps cut at the front.

    The rounds that follow with the same `prompt`, `gamma`, `temperature` and `row` go on with it.
    """

    kind: ClassVar[str] = "prompt"

    prompt: int
    """Number of the prompt in this run, from 0."""
    row: int = 0
    """Sequence of the batch, 0 for a batch of 1."""
    text: Annotated[str, shown(_TEXT, multiline=True)]
    gamma: int
    temperature: float
    drafter: Label
    first: TokenText = ""
    """Text of the first new token, which the prompt's own forward gave without a draft."""


class RoundEvent(DetailEvent):
    """One round of one sequence: `drafted[:accepted]` were accepted; the next one, if any, was rejected and `corrected` takes its place.

    What the round adds to the text is `drafted[:accepted]`, then `corrected` or `bonus`, whichever is not None; both are None when the text
    ended inside the accepted run (`ended`). Drafts after the first rejected one were never judged.
    """

    kind: ClassVar[str] = "round"

    n: int
    """Number of the round in this text, from 0."""
    drafted: Annotated[tuple[TokenText, ...], at_most(_MOST)]
    """Texts of the drafted tokens, in order; empty when the drafter had nothing. Of a tree: the tokens of the branch that was followed, and
    after them the likeliest sibling that was not."""
    accepted: int
    """How many of `drafted` are in the text."""
    corrected: TokenText | None = None
    """Token of the target in place of the rejected draft."""
    bonus: TokenText | None = None
    """Token of the target after a draft that was accepted whole, or where there was no draft."""
    prompt: int = 0
    row: int = 0
    gamma: int = 0
    temperature: float = 0.0
    drafter: Label = ""
    candidates: int = 0
    """Drafted tokens that the target looked at: more than `len(drafted)` for a tree."""
    ended: Label = ""
    """`stop` or `length` when the text ended in this round."""
    draft_ms: float | None = None
    """Milliseconds of drafting, where measured; of the whole batch."""
    verify_ms: float | None = None
    """Milliseconds of the target's forward and the judgement."""

    @field_validator("accepted")
    @classmethod
    def _at_most_drafted(cls, accepted: int, info: ValidationInfo) -> int:
        return min(max(accepted, 0), len(info.data.get("drafted", ())))

    @property
    def emitted(self) -> tuple[str, ...]:
        """Texts of the tokens that the round added."""
        last = self.corrected if self.corrected is not None else self.bonus
        return (*self.drafted[: self.accepted], *(() if last is None else (last,)))

    @property
    def rejected(self) -> str | None:
        """Text of the draft that was judged and refused."""
        return self.drafted[self.accepted] if self.corrected is not None and self.accepted < len(self.drafted) else None
