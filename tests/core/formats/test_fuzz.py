"""Damaged files are read or refused with a sentence: no other error, no hang, no gigabyte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited by what /proc says")

KINDS = ("safetensors", "configs", "gguf")


def fuzzed(seed: int, count: int, *kinds: str) -> list[dict[str, int]]:
    command = [sys.executable, "-m", "tests.core.formats.fuzz", ",".join(kinds), str(seed), str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_few_damaged_files() -> None:
    for answers in fuzzed(0, 80, *KINDS):
        assert sum(answers.values()) == 80
        assert answers["RequestError"] > 30
        assert answers["read"] > 0


def test_a_verification_finds_and_never_fails_itself() -> None:
    assert sum(fuzzed(0, 15, "verification")[0].values()) == 15


@pytest.mark.slow
def test_a_verification_of_hundreds_of_damaged_models() -> None:
    assert fuzzed(1, 500, "verification") == [{"read": 500}]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("kind", KINDS)
def test_twelve_thousand_damaged_files(kind: str, seed: int) -> None:
    assert sum(fuzzed(seed, 1000, kind)[0].values()) == 1000
