"""The engines' commands as rows and text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from core.errors import LlmoptError
from core.sanitize import clean
from core.speculate.advice import Advice, advise
from tui.speculate.drafting import Drafting
from tui.widgets.hanging import hanging
from tui.widgets.live import Line, fit

_ENGINE, _GAMMA = 14, 4


def advice_of(asked: Drafting, gamma: int | None = None) -> tuple[tuple[Advice, ...], str]:
    """The advice on a request, and what is wrong with it if there is none.

    Args:
        asked: of the form.
        gamma: drafted tokens per round; default: the first of the form.
    """
    gamma = gamma if gamma is not None else next(iter(asked.gamma), _GAMMA)
    try:
        return advise(asked.model or None, asked.drafter, gamma, asked.draft_model, (asked.ngram_min, asked.ngram_max)), ""
    except LlmoptError as error:
        return (), str(error)


def head() -> Line:
    """Titles of the table."""
    return ((fit(" engine", _ENGINE), "muted"), ("how", "muted"))


def row(advice: Advice) -> Line:
    """An engine and the beginning of its command."""
    if advice.command is None:
        return ((fit(advice.engine, _ENGINE - 1), "muted"), ("— ", "muted"), (clean(advice.note), "muted"))
    return ((fit(advice.engine, _ENGINE - 1), "strong"), (clean(advice.command), ""))


def lines_to_copy(advice: Advice) -> str:
    """What a user pastes: the preparations, the configuration file as a here document, the command."""
    if advice.command is None:
        return ""
    file = [f"cat > {advice.file} <<'END'\n{advice.content}END"] if advice.file and advice.content else []
    return "\n".join([*advice.prepare, *file, advice.command])


def full(advice: Advice, width: int) -> Content:
    """Everything about one engine. Commands stand alone on their lines so that a mouse copies them whole."""
    parts = [Content.assemble((advice.engine, "bold"), (f"  flags of {clean(advice.version)}", "dim"))]
    if advice.command is None:
        return Content("\n").join([*parts, hanging([("", clean(advice.note))], width)])
    parts += [Content(line) for line in _plain(lines_to_copy(advice))]
    if advice.note:
        parts += [Content(""), hanging([("note", clean(advice.note))], width)]
    return Content("\n").join(parts)


def _plain(text: str) -> Sequence[str]:
    return clean(text, multiline=True).split("\n")
