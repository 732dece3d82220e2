"""Where runs and settings live."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import platformdirs

from core.errors import RequestError
from core.sanitize import clean


def home() -> Path:
    """`$LLMOPT_HOME`, or the platform's folder for user data. Not created here."""
    chosen = os.environ.get("LLMOPT_HOME")
    return Path(os.path.expanduser(chosen)).absolute() if chosen else platformdirs.user_data_path("llmopt", appauthor=False)  # noqa: PTH111


def runs_folder() -> Path:
    """The folder with one folder a run."""
    return home() / "runs"


def check_home() -> None:
    """Nothing, when the runs are in a folder that can be read, or can be put into one. Raises RequestError: they cannot."""
    folder = runs_folder()
    for place in (folder, *folder.parents):
        try:
            if not stat.S_ISDIR(place.stat().st_mode):
                raise _unusable(place, "not a folder")
            if not os.access(place, os.R_OK | os.X_OK):
                raise _unusable(place, "permission denied")
            return
        except (FileNotFoundError, NotADirectoryError):
            if place.is_symlink():
                raise _unusable(place, "a link that leads nowhere") from None
        except OSError as error:
            raise _unusable(place, (error.strerror or str(error)).lower()) from error


def _unusable(place: Path, reason: str) -> RequestError:
    shown = clean(str(place), limit=200)
    return RequestError(f"runs are kept in {clean(str(runs_folder()), limit=200)}, and {shown} is unusable ({reason}): set LLMOPT_HOME to a folder")


def disk_free_for(out: str | None) -> int | None:
    """Bytes free where a checkpoint will be: the folder that was asked for, else the runs; None when the system does not say."""
    folder = Path(out).expanduser().absolute() if out else runs_folder()
    try:
        existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
        return None if existing is None else shutil.disk_usage(existing).free
    except OSError:
        return None
