"""The engines' commands as rows and text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual.content import Content

from core.errors import LlmoptError
from core.sanitize import clean
from core.speculate.advice import Advice, advise
from core.speculate.spec import BUNDLED_PAIRS
from tui.widgets.hanging import hanging
from tui.widgets.live import Line, fit

_ENGINE = 14


def advice_of(values: Mapping[str, Any], gamma: int | None = None) -> tuple[tuple[Advice, ...], str]:
    """The advice on a request, and what is wrong with it if there is none.

    Args:
        values: of the form.
        gamma: drafted tokens a round; default: the first of the form.
    """
    model = str(values.get("model") or "")
    gammas = values.get("gamma")
    if gamma is None:
        gamma = gammas[0] if isinstance(gammas, tuple | list) and gammas and isinstance(gammas[0], int) else 4
    lookup = tuple(value if isinstance(value := values.get(name), int) else usual for name, usual in (("ngram_min", 2), ("ngram_max", 5)))
    draft = values.get("draft") or BUNDLED_PAIRS.get(model)
    try:
        found = advise(model or None, str(values.get("drafter", "model")), gamma, str(draft) if draft else None, (lookup[0], lookup[1]))
    except LlmoptError as error:
        return (), str(error)
    return found, ""


def head() -> Line:
    """Titles of the table."""
    return ((fit(" engine", _ENGINE), "muted"), ("how", "muted"))


def row(advice: Advice) -> Line:
    """An engine and the beginning of its command."""
    if advice.command is None:
        return ((fit(advice.engine, _ENGINE - 1), "muted"), ("— ", "muted"), (clean(advice.note), "muted"))
    return ((fit(advice.engine, _ENGINE - 1), "strong"), (clean(advice.command), ""))


def lines_to_copy(advice: Advice) -> str:
    """What a person pastes: the preparations, the configuration file as a here document, the command."""
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
