"""A checkpoint of a run that may be stopped: room for it at its place, and what was known of it once it is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from core.formats.writing.output import check_output
from core.models.disk.files import shown
from core.runs.identity import states
from core.runs.resume_store import ResumeStore

_BEGUN, _FILES = "checkpoints that were begun", "files"


def make_room(store: ResumeStore, out: Path, artifacts: Path, log: Callable[[str], None]) -> None:
    """See that a checkpoint can be written to a path, and remember that the run begins to.

    What an earlier start of the same run left there is removed where the folder is the run's own; elsewhere, where it might be somebody else's by
    now, it is moved aside and that is said.

    Args:
        store: of the run.
        out: where the checkpoint will be.
        artifacts: the run's own folder.
        log: called with a sentence about what was moved.

    Raises:
        RequestError: the path exists and the run has not written it, or its parent is not a folder.
        RunFailed: the parent may not be written to.
    """
    begun = store.get(_BEGUN) or []
    place = str(out.absolute())
    if place in begun and out.is_dir() and not out.is_symlink():
        if out.absolute().is_relative_to(artifacts.absolute()):
            shutil.rmtree(out)
        else:
            aside = next(path for number in count(1) if not (path := out.with_name(f"{out.name}.before-{number}")).exists())
            out.rename(aside)
            log(f"{shown(out)} was there when the run resumed, and was moved to {shown(aside)}")
    check_output(out)
    if place not in begun:
        store.put(_BEGUN, [*begun, place])


def remember(store: ResumeStore, name: str, folder: Path, facts: Mapping[str, Any]) -> None:
    """Keep facts of a finished checkpoint, plain data without an entry `files`, for a run that is stopped after it."""
    if store.active:
        store.put(name, {_FILES: states(folder), **facts})


def remembered(store: ResumeStore, name: str, folder: Path) -> Any | None:
    """What was kept of a checkpoint; None when nothing was, or its files are not as they were then."""
    kept = store.get(name)
    return kept if kept is not None and folder.is_dir() and states(folder) == kept[_FILES] else None
