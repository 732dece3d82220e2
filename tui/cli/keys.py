"""Ask for a server's key on the terminal. It goes into this process's environment, from which the run has it, and nowhere else."""

from __future__ import annotations

import getpass
import os
import sys

from core.sanitize import clean
from core.spec import Spec


def ask_for_key(spec: Spec) -> None:
    """Ask for the key of a request that names a variable which is not set, where there is a terminal to ask on; nothing is echoed."""
    name = getattr(spec, "key_env", None)
    if isinstance(name, str) and not os.environ.get(name) and sys.stdin is not None and sys.stdin.isatty():
        key = getpass.getpass(f"key for {clean(spec.model, limit=200)} ({name} is not set): ")
        if key.strip():
            os.environ[name] = key.strip()
