"""Keep a program that runs for weeks small."""

from __future__ import annotations

import contextlib
import ctypes

_ARENAS, _TRIM, _MAP = -8, -1, -3
"""M_ARENA_MAX, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of glibc's malloc.h."""
_KEPT = 128 << 10


def bound_heap() -> None:
    """Let glibc keep little of what was freed: one arena instead of one per thread, each as large as it ever had to be, and fixed thresholds.

    Call it before threads are started. Other systems' libraries have no such knob.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for name, value in ((_ARENAS, 1), (_TRIM, _KEPT), (_MAP, _KEPT)):
            library.mallopt(name, value)
