"""A folder under construction: under a temporary name until it is whole, gone when that fails."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import LlmoptError, RunFailed
from core.formats.writing.output import check_output, disk_sentence
from core.models.disk.files import shown


class PartialFolder:
    """Made as `<final>.partial-<pid>` next to its final place.

    Args:
        final: its final place; nothing may be there.
        before_removal: called before an unfinished folder is removed: closes files in it.

    Raises (here, `finish`, and within `guarded`):
        RequestError: the final place cannot be used.
        RunFailed: the disk is full, or the folder cannot be written.
    """

    def __init__(self, final: Path, before_removal: Callable[[], None] = lambda: None) -> None:
        check_output(final)
        self.final = final.absolute()
        self.partial = self.final.with_name(f"{self.final.name}.partial-{os.getpid()}")
        self._before_removal, self._made, self._finished = before_removal, list[Path](), False
        with self.guarded():
            self._made = [parent for parent in self.final.parents if not parent.exists()]
            self.final.parent.mkdir(parents=True, exist_ok=True)
            self.partial.mkdir()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Whatever fails within removes the folder; what the disk refuses becomes a sentence."""
        try:
            yield
        except BaseException as error:
            self.abort()
            if isinstance(error, OSError) and not isinstance(error, LlmoptError):
                raise RunFailed(disk_sentence(self.final, error)) from error
            raise

    def finish(self) -> None:
        """Give the folder its name."""
        with self.guarded():
            sync(self.partial)
            if os.path.lexists(self.final):
                raise RunFailed(f"the output {shown(self.final)} was created by another program meanwhile: choose another path")
            self.partial.rename(self.final)
            sync(self.final.parent)
        self._finished = True

    def abort(self) -> None:
        """Remove the folder, and parents made for it; nothing once finished."""
        if not self._finished:
            self._before_removal()
            shutil.rmtree(self.partial, ignore_errors=True)
            with suppress(OSError):
                for parent in self._made:
                    parent.rmdir()


def sync(path: Path) -> None:
    """Make a file's, or a folder's entries', way to the disk certain, where the file system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            raise
    finally:
        os.close(descriptor)
