"""Where a checkpoint may be written. No torch, so that a request is refused before any work."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import RequestError, RunFailed
from core.models.files import reason, shown


def check_output(folder: Path) -> None:
    """Nothing, when a checkpoint may be written to this path.

    Raises:
        RequestError: the path exists, or its parent is no folder.
        RunFailed: the parent may not be written to.
    """
    try:
        if os.path.lexists(folder):
            raise RequestError(f"the output {shown(folder)} exists: choose another path, or remove it first")
        parent = next(parent for parent in folder.absolute().parents if parent.exists())
    except OSError as error:
        raise RequestError(f"the output {shown(folder)} cannot be used: {reason(error)}") from error
    if not parent.is_dir():
        raise RequestError(f"the output {shown(folder)} cannot be made: {shown(parent)} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise RunFailed(f"the output {shown(folder)} cannot be made: you may not write to {shown(parent)}")
