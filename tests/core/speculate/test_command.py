"""`llmopt speculate` and `llmopt speculate-test` as other programs call them: one JSON document on stdout, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CONTRACT = ("speedup", "predicted_speedup", "alpha", "cost_ratio", "gamma", "tokens_per_second", "baseline_tokens_per_second", "identical")


def call(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = (sys.executable, "-c", "import sys; from tui.cli import main; sys.exit(main())", command)
    return subprocess.run([*program, *arguments], capture_output=True, text=True, check=False, timeout=300)


def test_a_measurement_is_one_document(tiny_llama_dir: Path) -> None:
    few = ("--prompts", "2", "--prompt-tokens", "24", "--tokens", "16", "--repeats", "1", "--threads", "1", "--json")
    done = call("speculate", str(tiny_llama_dir), "--drafter", "lookup", "--gamma", "2,3", "--temperature", "0,0.7", *few)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert list(document)[:2] == ["schema", "llmopt_version"]
    assert document["schema"] == "llmopt.speculate/1"
    assert set(CONTRACT) <= document.keys()
    assert document["identical"] is True
    assert [(row["gamma"], row["temperature"]) for row in document["rows"]] == [(2, 0.0), (2, 0.7), (3, 0.0), (3, 0.7)]


@pytest.mark.slow
def test_a_test_of_losslessness_is_one_document(tiny_llama_dir: Path) -> None:
    few = ("--prompts", "2", "--prompt-tokens", "24", "--tokens", "16", "--draws", "2000", "--model-draws", "100", "--threads", "1", "--json")
    done = call("speculate-test", str(tiny_llama_dir), "--drafter", "layers", "--skip-layers", "1", *few)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["lossless"] is True
    assert document["greedy"]["identical"] == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--gamma", "0"), "gamma must be between 1 and 64, got 0"),
        (("--gamma", "two"), "whole numbers"),
        (("--temperature", "warm"), "numbers separated by commas"),
        (("--draft", "/no/such/model"), "no such path"),
        (("--prompt", ""), "empty"),
        (("--prompt-tokens", "500"), "positions"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_exit_code_2(tiny_llama_dir: Path, arguments: tuple[str, ...], sentence: str) -> None:
    draft = () if "--draft" in arguments else ("--draft", str(tiny_llama_dir))
    refused = call("speculate", str(tiny_llama_dir), *draft, *arguments)
    assert refused.returncode == 2, refused.stderr
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not refused.stdout
