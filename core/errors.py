"""What can go wrong, with the exit code that the command line answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.result import Result


class EarlyEnd(BaseException):
    """What ends the work before its time, as one sentence for the user. Never shown as a traceback."""

    exit_code = 1

    def __init__(self, *words: object, result: Result | None = None) -> None:
        super().__init__(*words)
        self.result = result
        """What a run had measured by then, where that is of use by itself: it is kept as its result."""


class LlmoptError(EarlyEnd, Exception):
    """What went wrong: what, where, how to mend it."""


class RunFailed(LlmoptError):
    """The work was begun and could not be finished."""

    exit_code = 1


class RequestError(LlmoptError):
    """The request was wrong; nothing was begun."""

    exit_code = 2


class Cancelled(EarlyEnd):
    """The user stopped it. No `Exception`: a library that catches every error must not take it for one of its own."""

    exit_code = 130
