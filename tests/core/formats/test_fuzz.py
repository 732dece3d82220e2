"""Damaged files are read or refused with a sentence: no other error, no hang, no gigabyte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def fuzzed(kind: str, seed: int, count: int) -> dict[str, int]:
    command = [sys.executable, "-m", "tests.core.formats.fuzz", kind, str(seed), str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answers: dict[str, int] = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize("kind", ["safetensors", "configs", "gguf"])
def test_a_few_damaged_files(kind: str) -> None:
    answers = fuzzed(kind, 0, 250)
    assert sum(answers.values()) == 250
    assert answers["RequestError"] > 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("kind", ["safetensors", "configs", "gguf"])
def test_twelve_thousand_damaged_files(kind: str, seed: int) -> None:
    assert sum(fuzzed(kind, seed, 1000).values()) == 1000
