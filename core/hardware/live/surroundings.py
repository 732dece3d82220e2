"""The machine of this process, as results keep it."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter

import aiohttp

from core import __version__
from core.hardware.live.host import cpu_name
from core.hardware.live.probe import GpuProbe
from core.hardware.surroundings import Surroundings
from core.measure.limits import cores, total_memory


def surroundings(probe: GpuProbe | None = None) -> Surroundings:
    """Read the machine; `probe` asks the driver of the GPUs, NVIDIA's own by default."""
    probe = probe or GpuProbe()
    try:
        states, _, driver, _ = probe.read(time.monotonic())
    finally:
        probe.close()
    counted = Counter(state.name or "a GPU without a name" for state in states if not state.hidden)
    return Surroundings(
        system=f"{platform.system()} {platform.release()}",
        processor=cpu_name() or platform.processor() or platform.machine(),
        cores=cores(),
        memory_bytes=total_memory(),
        gpus=", ".join(f"{count} x {name}" for name, count in counted.items()) or None,
        nvidia_driver=driver.version if driver is not None and states else None,
        cuda=driver.cuda if driver is not None and states else None,
        python=platform.python_version(),
        llmopt=__version__,
        aiohttp=aiohttp.__version__,
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )
