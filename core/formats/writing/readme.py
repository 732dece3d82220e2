"""The README of a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import RunFailed
from core.models.disk.files import reason, shown


def write_readme(folder: Path, text: str) -> None:
    """Put README.md, in Markdown, into a finished checkpoint, atomically. Raises RunFailed: it cannot be written."""
    temporary = folder / f".README.md.{os.getpid()}"
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(folder / "README.md")
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunFailed(f"the checkpoint in {shown(folder)} is complete, but its README could not be written: {reason(error)}") from error


def plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{character}" if character in "\\`*_[]<>|#" else character for character in text)
