"""Where a checkpoint may be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from core.errors import RequestError, RunFailed
from core.models.disk.files import reason, shown


def check_output(folder: Path) -> None:
    """Nothing, when a checkpoint may be written to this path.

    Raises:
        RequestError: the path exists, or its parent is not a folder.
        RunFailed: the parent may not be written to.
    """
    try:
        if _stat(folder):
            raise RequestError(f"the output {shown(folder)} exists: choose another path, or remove it first")
        _stat(folder.with_name(f".{folder.name}.partial-4194304"))  # its longest name while it is half written
        parent = next(parent for parent in folder.absolute().parents if _stat(parent))
    except OSError as error:
        raise RequestError(f"the output {shown(folder)} cannot be used: {reason(error)}") from error
    if not parent.is_dir():
        raise RequestError(f"the output {shown(folder)} cannot be created: {shown(parent)} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise RunFailed(f"the output {shown(folder)} cannot be created: {shown(parent)} is not writable")


def _stat(path: Path) -> bool:
    """Whether there is anything at the path, a link that leads nowhere included. Raises OSError: no file can be there."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def disk_sentence(output: Path, error: OSError) -> str:
    """What to tell the user when writing an output failed half-way and nothing of it was kept."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"the disk of {shown(output.parent)} is full: free some space, or choose another --out; nothing was left behind"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"{shown(output.parent)} cannot be written ({reason(error)}): choose another --out; nothing was left behind"
    return f"the checkpoint could not be written to {shown(output)} ({reason(error)}); nothing was left behind"
