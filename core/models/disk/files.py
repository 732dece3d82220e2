"""Small files of a model folder, read with bounds: JSON that may be hostile, and paths fit to be shown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from core.errors import RequestError
from core.sanitize import clean

MAX_CONFIG_BYTES = 16 * 2**20
MAX_INDEX_BYTES = 100 * 2**20
STAND_IN_BYTES = 64
"""As many of a file's first bytes show that it is not the file itself."""

_STAND_INS = {
    b"version https://git-lfs.github.com/": "a Git LFS pointer",
    b"version https://hawser.github.com/": "a Git LFS pointer",
    b"/annex/objects/": "a git-annex pointer",
    b"# xet version": "a Xet pointer",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
}


def shown(path: Path | str) -> str:
    """The path as it may stand in a sentence or on a screen."""
    return clean(os.fspath(path), limit=400)


def reason(error: BaseException) -> str:
    """What an exception says, in one line that is fit to be shown."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return clean(text, limit=300)


def refuse_stand_in(path: Path, head: bytes) -> None:
    """Nothing, when a file that begins with these bytes is the file itself. Raises RequestError: it only points to it, or is a download page."""
    kind = next((kind for start, kind in _STAND_INS.items() if head.lstrip().lower().startswith(start)), None)
    if kind is not None:
        mend = "run `git lfs pull` in its folder, or fetch the file again" if "LFS" in kind else "fetch the file again"
        raise RequestError(f"{shown(path)} is {kind}, not the file itself: {mend}")


def parse_json(text: bytes, what: str, *, unique_keys: bool = False) -> Any:
    """Parse JSON from an untrusted file.

    Args:
        text: UTF-8 bytes.
        what: names the file in a complaint, already fit to be shown.
        unique_keys: refuse an object that holds a key twice.

    Raises:
        RequestError: not UTF-8, not JSON, nested too deeply, or a key twice.
    """
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_unique if unique_keys else None)
    except _DuplicateKey as error:
        raise RequestError(f"{what} has the key {clean(str(error), limit=120)!r} twice: the file is damaged, fetch it again") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{what} is not UTF-8 text (byte {error.start}): the file is damaged, fetch it again") from error
    except RecursionError as error:
        raise RequestError(f"{what} nests its JSON too deeply: the file is damaged, fetch it again") from error
    except ValueError as error:
        raise RequestError(f"{what} is not valid JSON ({reason(error)}): the file is damaged, fetch it again") from error


def read_object(path: Path, *, limit: int = MAX_CONFIG_BYTES) -> dict[str, Any]:
    """The JSON object in a file of at most `limit` bytes.

    Raises:
        RequestError: the file cannot be read, is larger than `limit`, is not JSON or not an object.
    """
    try:
        if not path.is_file():
            raise RequestError(f"{shown(path)} is missing or not a file: give a complete model folder")
        with path.open("rb") as stream:
            text = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        raise RequestError(f"cannot read {shown(path)}: {reason(error)}") from error
    if len(text) > limit:
        raise RequestError(f"{shown(path)} is larger than {limit >> 20} MiB, more than such a file ever is: the file is damaged, fetch it again")
    refuse_stand_in(path, text[:STAND_IN_BYTES])
    value = parse_json(text, shown(path))
    if not isinstance(value, dict):
        raise RequestError(f"{shown(path)} does not hold a JSON object: the file is damaged, fetch it again")
    return value


class _DuplicateKey(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        raise _DuplicateKey(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return result
