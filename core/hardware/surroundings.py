"""Where something was measured: system, processor, memory, GPUs, versions."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter

import aiohttp
import psutil

from core import __version__
from core.hardware.live.host import cpu_name
from core.hardware.live.probe import GpuProbe


def machine(probe: GpuProbe | None = None) -> dict[str, object]:
    """The machine of this process; None where something is not known, no GPUs where no driver shows any.

    Args:
        probe: asks the driver of the GPUs; default: NVIDIA's own.
    """
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": cpu_name() or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        **_gpus(probe or GpuProbe()),
        "python": platform.python_version(),
        "llmopt": __version__,
        "aiohttp": aiohttp.__version__,
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _gpus(probe: GpuProbe) -> dict[str, object]:
    try:
        states, _, driver, _ = probe.read(time.monotonic())
    finally:
        probe.close()
    if not states:
        return {}
    counted = Counter(state.name or "a GPU without a name" for state in states)
    versions = {"nvidia_driver": driver.version, "cuda": driver.cuda} if driver is not None else {}
    return {"gpus": ", ".join(f"{count} x {name}" for name, count in counted.items()), **versions}
