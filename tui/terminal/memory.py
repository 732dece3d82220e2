"""Keep a program that runs for weeks small."""

from __future__ import annotations

import gc
import threading
from itertools import count

from core.measure.freed_memory import c_library, give_back_memory

_ARENAS, _TRIM, _MAP = -8, -1, -3
"""M_ARENA_MAX, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of glibc's malloc.h."""
_KEPT = 128 << 10
_STARTED = 20.0
_EVERY = 5.0
_WIDTHS_KEPT = 12
"""Rounds between two times that the widths of texts are forgotten."""


class HeapKeeper:
    """Returns memory that was freed to the system, from a thread; other systems' libraries have no knob for it.

    One arena instead of one per thread, each as large as it ever had to be; fixed thresholds; and free pages given back every `every` seconds.
    What a start brought, which stays, is taken out of the garbage collector's count. It would collect everything only when a quarter as much has
    come since, which is megabytes from every chart that was drawn; without it a collection takes milliseconds. The widths of texts, of which rich
    keeps thousands, are forgotten every minute: lines of a live chart never come again.
    """

    def __init__(self, started: float = _STARTED, every: float = _EVERY) -> None:
        self._started, self._every = started, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="heap")
        if (adjust := getattr(c_library(), "mallopt", None)) is not None:
            for name, value in ((_ARENAS, 1), (_TRIM, _KEPT), (_MAP, _KEPT)):
                adjust(name, value)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()

    def _keep(self) -> None:
        if self._over.wait(self._started):
            return
        from rich.cells import cached_cell_len

        gc.collect()
        gc.freeze()
        for round_ in count(1):
            if self._over.wait(self._every):
                return
            if round_ % _WIDTHS_KEPT == 0:
                cached_cell_len.cache_clear()
            gc.collect()
            give_back_memory()
