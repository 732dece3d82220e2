"""The unexpected: its traceback goes to a file, the user gets a sentence."""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path

from core.sanitize import clean


def record(error: BaseException) -> str:
    """Append the traceback to `crash.log` in the home folder; answer one sentence for the user."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _save("".join(traceback.format_exception(error)), what)


def record_text(text: str) -> str:
    """The same for a traceback that is text already; its last line says what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _save(text, lines[-1] if lines else "no details")


def _save(details: str, what: str) -> str:
    what = clean(what, limit=200)
    try:
        file = _folder() / "crash.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8", errors="replace") as stream:
            stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{details}\n")
    except OSError as refused:
        return f"unexpected error ({what}), and its details could not be saved: {clean(str(refused))}"
    return f"unexpected error ({what}): the details are in {clean(str(file))}, please report them"


def _folder() -> Path:
    if home := os.environ.get("LLMOPT_HOME"):
        return Path(home)
    import platformdirs

    return Path(platformdirs.user_data_dir("llmopt"))
