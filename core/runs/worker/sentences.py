"""Every way in which a run can fail, as one sentence for the user."""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import EarlyEnd
from core.runs.state.files import why
from core.runs.state.store import Run
from core.sanitize import clean

_LIMIT = 600


def sentence_for(error: BaseException, run: Run) -> str:
    """One sentence; what it does not explain is with its traceback in log.txt."""
    if isinstance(error, EarlyEnd):
        return clean(str(error), limit=_LIMIT)
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno is not None:
            return clean(why(cause, run.path), limit=_LIMIT)
        if "No space left on device" in str(cause):
            return f"no space left on the disk of {run.path} or of the output folder: free some space and run again"
        if isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(cause):
            return clean(f"out of memory ({_first_line(cause)}): choose a smaller setting, a smaller model or another device", limit=_LIMIT)
    return clean(f"{type(error).__name__}: {_first_line(error)} (the traceback is in {run.log_file})", limit=_LIMIT)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it came from, at most ten deep."""
    current: BaseException | None = error
    for _ in range(10):
        if current is None:
            return
        yield current
        current = current.__cause__ or current.__context__


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"
