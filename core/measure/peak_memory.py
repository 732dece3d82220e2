"""The largest resident set of a process, in bytes on every platform."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_rss_bytes() -> int:
    """Of this process so far. On Linux from its own high-water mark: `getrusage` begins at that of the process which forked it."""
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return maxrss_bytes(resource.getrusage(resource.RUSAGE_SELF))


def maxrss_bytes(usage: resource.struct_rusage, platform: str = sys.platform) -> int:
    """Of `getrusage` or `wait4`, whose unit is bytes on macOS and KiB elsewhere."""
    return usage.ru_maxrss * (1 if platform == "darwin" else 1024)
