"""Where a student still differs from its teacher, token by token, as lines. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from core.distill.events import Place
from tui.widgets import words
from tui.widgets.live import Line, fit

_TOKEN, _SHARE, _KL = 12, 6, 6
_FIXED = 3 * _TOKEN + 2 * _SHARE + _KL + 6


def place_lines(places: Sequence[Place], width: int) -> list[Line]:
    """A head, then a line for each place, largest divergence first.

    From left to right the text before, what comes, what the teacher expects and with what probability, and the same of the student.
    """
    if not places:
        return [(("nothing was measured yet of where the student differs", "muted"),)]
    before = max(width - _FIXED, 0)
    head = (
        f"{fit('after', before) + ' ' if before else ''}{fit('comes', _TOKEN)} {fit('teacher expects', _TOKEN + _SHARE)} "
        f"{fit('student expects', _TOKEN + _SHARE)} {'KL':>{_KL}}"
    )
    return [((head.rstrip(), "muted"),), *(_line(place, before) for place in places)]


def _line(place: Place, before: int) -> Line:
    right = place.teacher == place.token
    return (
        (_end(place.before, before) + " " if before else "", "muted"),
        (fit(place.token, _TOKEN) + " ", "strong"),
        (fit(place.teacher, _TOKEN), "good" if right else ""),
        (f"{_share(place.teacher_probability):>{_SHARE}} ", "muted"),
        (fit(place.student, _TOKEN), "good" if place.student == place.token else "bad"),
        (f"{_share(place.student_probability):>{_SHARE}} ", "muted"),
        (f"{words.figure(place.kl, 2):>{_KL}}", ""),
    )


def _share(probability: float) -> str:
    return f"{100 * probability:.0f} %"


def _end(text: str, width: int) -> str:
    """The last cells of a text, in exactly so many."""
    return fit(text if len(text) <= width else f"…{text[-max(width - 1, 1) :]}", width)
