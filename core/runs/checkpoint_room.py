"""Room for a checkpoint at its place: a run that was killed between finishing one and remembering it writes it again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

from core.formats.writing.output import check_output
from core.models.disk.files import shown
from core.runs.resume_store import ResumeStore

_BEGUN = "checkpoints that were begun"


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
