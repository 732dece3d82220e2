"""Where runs and settings live."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """`$LLMOPT_HOME`, or the platform's folder for user data. Not created here."""
    chosen = os.environ.get("LLMOPT_HOME")
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_data_path("llmopt", appauthor=False)


def runs_folder() -> Path:
    """The folder with one folder a run."""
    return home() / "runs"
