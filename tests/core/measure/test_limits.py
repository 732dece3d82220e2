"""The limits of this process, as Slurm, systemd and containers lay out their control groups."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from core.benchmark.drive.bench import workers_for
from core.errors import RequestError
from core.evaluate.logits.opening import streams
from core.evaluate.spec import EvaluateSpec
from core.hardware.live import host
from core.hardware.live.host import CpuProbe, memory_state
from core.kvcache.check import check as check_kv
from core.kvcache.spec import KvCacheSpec
from core.measure import limits
from core.models.resolve import resolve
from core.quantize.check import check
from core.quantize.spec import QuantizeSpec

G = 2**30


def groups(root: Path, membership: str, **files: str) -> dict[str, Path]:
    """Control groups: `a__b__memory_max` is the file memory.max of a/b, written into a folder of the test's."""
    for name, text in files.items():
        *folders, file = name.split("__")
        place = root.joinpath(*folders)
        place.mkdir(parents=True, exist_ok=True)
        (place / file.replace("_", ".", 1)).write_text(f"{text}\n")
    (root / "membership").write_text(membership)
    return {"membership": root / "membership"}


@pytest.mark.parametrize(
    ("membership", "files", "found"),
    [
        ("0::/", {}, (None, None)),
        ("0::/", {"memory_max": "max"}, (None, None)),
        ("0::/", {"memory_max": "1000", "memory_current": "400"}, (1000, 400)),
        (
            "0::/slurm/job/step",
            {"slurm__job__memory_max": "1000", "slurm__job__memory_current": "300", "slurm__job__step__memory_max": "max"},
            (1000, 300),
        ),
        ("0::/user/app", {"user__memory_max": "5000", "user__memory_current": "4900", "user__app__memory_max": "1000"}, (1000, 900)),
        ("0::/a", {"a__memory_max": "1000", "a__memory_current": "900", "a__memory_stat": "anon 5\ninactive_file 600"}, (1000, 300)),
        ("0::/a", {"a__memory_max": "1000", "a__memory_current": "1200"}, (1000, 1000)),
        ("0::/a", {"a__memory_max": "max", "a__memory_high": "800", "a__memory_current": "200"}, (800, 200)),
        ("0::/a/b", {"a__memory_high": "600", "a__memory_current": "500", "a__b__memory_max": "900", "a__b__memory_current": "1"}, (600, 500)),
        ("0::/../x", {"memory_max": "700", "memory_current": "7"}, (700, 7)),
        ("4:memory:/job\n0::/", {"memory__job__memory_limit_in_bytes": "1000", "memory__memory_limit_in_bytes": "9223372036854771712"}, (1000, 0)),
        ("4:cpu,memory:/not/seen", {"memory__memory_limit_in_bytes": "50", "memory__memory_usage_in_bytes": "20"}, (50, 20)),
    ],
)
def test_the_tightest_group_up_to_the_root_counts(
    tmp_path: Path, membership: str, files: dict[str, str], found: tuple[int | None, int | None]
) -> None:
    assert limits.container_memory(tmp_path, **groups(tmp_path, membership, **files)) == found


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/", {}, None),
        ("0::/a/b", {"a__cpu_max": "150000 100000", "a__b__cpu_max": "max 100000"}, 1.5),
        ("0::/a/b", {"a__cpu_max": "400000 100000", "a__b__cpu_max": "50000 100000"}, 0.5),
        ("3:cpu,cpuacct:/x", {"cpu,cpuacct__x__cpu_cfs_quota_us": "200000", "cpu,cpuacct__x__cpu_cfs_period_us": "100000"}, 2.0),
        ("3:cpu:/x", {"cpu__x__cpu_cfs_quota_us": "-1", "cpu__x__cpu_cfs_period_us": "100000"}, None),
    ],
)
def test_the_least_share_of_the_cores_counts(tmp_path: Path, membership: str, files: dict[str, str], quota: float | None) -> None:
    assert limits.cpu_quota(tmp_path, **groups(tmp_path, membership, **files)) == quota


@pytest.mark.parametrize(("quota", "expected"), [(None, 6), (1.5, 2), (0.2, 1), (64.0, 6)])
def test_a_quota_and_an_affinity_are_the_cores_of_everything(monkeypatch: pytest.MonkeyPatch, quota: float | None, expected: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    monkeypatch.setattr(limits, "cpu_quota", lambda: quota)
    assert limits.cores() == expected
    assert CpuProbe().state().logical == expected
    assert workers_for(10_000) == max(expected // 2, 1)


def test_a_limit_is_the_free_memory_of_every_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "container_memory", lambda: (2 * G, 2 * G - 1000))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=64 * G, available=60 * G))
    assert limits.available_memory() == 1000
    assert limits.total_memory() == 2 * G
    card = resolve("bundled:base").card()
    assert streams(EvaluateSpec(model="bundled:base"), [card], "cpu")
    assert check(QuantizeSpec(model="bundled:base", method="rtn"), card).memory_available == 1000
    with pytest.raises(RequestError, match="free"):
        check_kv(KvCacheSpec(model="bundled:base"), card)
    monkeypatch.setattr(host, "container_memory", limits.container_memory)
    assert memory_state().usable == 1000


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinities here")
def test_one_core_is_one_core() -> None:
    program = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from core.measure.limits import cores; print(cores())"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.parametrize(("machine", "allowed", "limit"), [(8, 8, None), (8, 3, 3), (64, 1, 1)])
def test_programs_that_count_the_machine_s_cores_are_limited(monkeypatch: pytest.MonkeyPatch, machine: int, allowed: int, limit: int | None) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: machine)
    monkeypatch.setattr(limits, "cores", lambda: allowed)
    assert limits.thread_limit() == limit
