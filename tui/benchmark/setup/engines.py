"""The engines as a list to choose from. Asks each whether it is installed: off the event loop."""

from __future__ import annotations

from core.engine import Found, Missing, all_names, look_up
from core.errors import LlmoptError, RequestError
from tui.widgets.form.table_picker import Options, Row

_TRIED = {"for real": "tested for real with this program", "against its protocol": "tested against its protocol only"}


def found(name: str) -> Found | Missing:
    """The installed version of an engine, or why there is none; RequestError when there is no such engine."""
    return look_up(name).find()


def options(*, to_start: bool) -> Options:
    """Every engine with its version, or the reason why it is missing.

    Args:
        to_start: leave out those that this program only attaches to.
    """
    rows = [row for name in all_names() if (row := _row(name, to_start=to_start)) is not None]
    return Options(
        (("engine", 23), ("version", 12), ("", 41)), rows, "the location of an engine is set by LLMOPT_ENGINE_NAME or [engines] in the settings file"
    )


def _row(name: str, *, to_start: bool) -> Row | None:
    try:
        engine = look_up(name)
        if to_start and not engine.facts.starts:
            return None
        answer = _found(name)
    except LlmoptError as error:
        return Row(name, (name, "broken", str(error)), str(error))
    facts = engine.facts
    version = answer.version if isinstance(answer, Found) else "missing" if facts.starts else "attach"
    missing = "" if isinstance(answer, Found) or not facts.starts else f" {answer.reason}."
    return Row(name, (name, version, facts.summary), f"{facts.title}: {_TRIED[facts.tried]}.{missing}")


def _found(name: str) -> Found | Missing:
    try:
        return found(name)
    except RequestError as error:
        return Missing(str(error))
