"""Peak memory in bytes: macOS counts bytes, Linux KiB."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from core.measure import peak_memory
from core.measure.peak_memory import maxrss_bytes, peak_rss_bytes

MIB = 2**20


@pytest.mark.parametrize(("platform", "counted"), [("darwin", 300 * MIB), ("linux", 300 * 1024), ("freebsd14", 300 * 1024)])
def test_every_platform_counts_in_its_own_unit(platform: str, counted: int) -> None:
    usage = cast(resource.struct_rusage, SimpleNamespace(ru_maxrss=counted))
    assert maxrss_bytes(usage, platform) == 300 * MIB


def test_without_proc_it_is_that_of_getrusage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_memory, "_STATUS", tmp_path / "missing")
    assert peak_rss_bytes() == maxrss_bytes(resource.getrusage(resource.RUSAGE_SELF))


@pytest.mark.skipif(sys.platform != "linux", reason="getrusage begins anew in a child elsewhere")
def test_what_the_parent_held_is_not_counted() -> None:
    held = bytearray(400 * MIB)
    held[::4096] = b"x" * len(held[::4096])
    show = [sys.executable, "-c", "from core.measure.peak_memory import peak_rss_bytes; print(peak_rss_bytes())"]
    assert int(subprocess.run(show, check=True, capture_output=True, text=True).stdout) < 100 * MIB


def test_memory_that_was_given_back_still_counts() -> None:
    script = "from core.measure.peak_memory import peak_rss_bytes; b = b'x' * (200 << 20); del b; print(peak_rss_bytes())"
    assert int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout) > 200 * MIB
