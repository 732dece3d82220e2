"""Freed memory that the C library keeps."""

from __future__ import annotations

import ctypes
from functools import cache


def give_back_memory() -> None:
    """Hand freed memory back to the system, which glibc would otherwise keep in pieces between what is still used."""
    trim = getattr(c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


@cache
def c_library() -> ctypes.CDLL | None:
    """The C library of this process; None where it cannot be called."""
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # not a POSIX system
        return None
