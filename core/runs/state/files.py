"""Files that are whole or absent: written next to their final name, then renamed; safe on NFS."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import secrets
import time
from pathlib import Path
from typing import Any

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


def write_json(path: Path, document: Any, *, durable: bool = True) -> None:
    """Replace `path` by `document` in one step: a reader sees the old file or the new one, never a part.

    Args:
        path: final name; its folder exists.
        document: plain data; non-finite numbers become null, so that the file stays JSON.
        durable: wait until file and folder are on disk; pass False for figures that are written every second.

    Raises:
        OSError: the file could not be written; `path` is as it was and nothing is left next to it.
    """
    write_bytes(path, dumps(document).encode(errors="replace") + b"\n", durable=durable)


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """As `write_json`, for bytes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def read_json(path: Path) -> Any:
    """The document at `path`; a number that no float can hold is None, as are NaN and infinities.

    An NFS client may hold a file that another machine has just replaced: such a stale handle is opened again.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON.
    """
    for attempt in range(3):
        try:
            return json.loads(path.read_bytes(), parse_float=_number, parse_int=_number, parse_constant=lambda _: None)
        except OSError as error:
            if error.errno != errno.ESTALE or attempt == 2:
                raise
        except RecursionError as error:
            raise ValueError(f"{path.name} is nested too deep") from error
        time.sleep(0.05)
    raise AssertionError


def _number(text: str) -> float | None:
    value = float(text)
    if not math.isfinite(value):
        return None
    return value if set(text) & set(".eE") else int(text)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object at `path`; empty where there is none that can be read."""
    try:
        document = read_json(path)
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def dumps(document: Any, *, indent: int | None = 2, ascii_only: bool = False) -> str:
    """JSON text in which every number is finite."""
    return json.dumps(finite(document), indent=indent, ensure_ascii=ascii_only, allow_nan=False)


def finite(document: Any) -> Any:
    """`document` with NaN and infinities as None, tuples as lists."""
    if isinstance(document, float):
        return document if math.isfinite(document) else None
    if isinstance(document, dict):
        return {key: finite(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [finite(value) for value in document]
    return document


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut, where the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def why(error: OSError, where: Path | str) -> str:
    """One sentence for a file that could not be written or read: what, where, how to mend it."""
    place = error.filename if isinstance(error.filename, str) else where
    if error.errno in _FULL:
        return f"no space left on the disk of {place}: free some space and run again"
    if error.errno in _FORBIDDEN:
        return f"{place} is not writable ({(error.strerror or 'refused').lower()}): choose another folder or change its permissions"
    return f"{place} cannot be used ({(error.strerror or str(error)).lower()}): check the folder and run again"
