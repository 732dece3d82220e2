"""`llmopt ollama`, against a server that speaks its documented protocol, and a server of it that is started."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from engines.common import probing
from engines.ollama_library import PullStep
from tests.engines.documented import documented
from tests.engines.test_ollama_library import PS, STEPS, TAGS, lines
from tui.cli import main
from tui.cli.commands.ollama import address, progress

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("box:99", "http://box:99"),
        (":99", "http://127.0.0.1:99"),
        ("[::1]", "http://[::1]:11434"),
        ("https://ollama.example/", "https://ollama.example"),
        ("http://box:99/under", "http://box:99/under"),
    ],
)
def test_the_server_is_found_as_ollama_finds_it(named: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", named)
    assert address(None) == expected
    assert address("http://other:1") == "http://other:1"


def test_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with documented({"/api/tags": TAGS, "/api/ps": PS}) as server:
        assert main(["ollama", "list", "--url", server.url]) == 0
        table = capsys.readouterr().out
        assert "llama3.2:1b" in table
        assert "Q8_0" in table
        assert "\x1b" not in table
        assert main(["ollama", "ps", "--url", server.url, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["schema"] == "llmopt.ollama-loaded/1"
    assert found["models"][0]["gpu_bytes"] == 700
    with documented({"/api/tags": {"models": []}, "/api/ps": {"models": []}}) as server:
        assert main(["ollama", "list", "--url", server.url]) == 0
        assert main(["ollama", "ps", "--url", server.url]) == 0
        out, err = capsys.readouterr()
    assert out == ""
    assert "ollama pull" in err


def test_a_fetch_tells_its_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with documented({"/api/pull": lines(*STEPS), "/api/tags": TAGS}) as server:
        assert main(["ollama", "pull", "llama3.2:1b", "--url", server.url, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["file_bytes"] == 1321098329
    assert err.splitlines() == [
        "pulling manifest",
        "  0 %  pulling 6a0746a1ec1a: 0 B of 1000 B",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]


def test_progress_is_a_share() -> None:
    assert progress(PullStep("pulling x", 400, 1000)).startswith(" 40 %  pulling x: ")
    assert progress(PullStep("pulling x", None, 0)) == "pulling x: 0 B of 0 B"


@pytest.mark.parametrize(
    ("messages", "code", "word"),
    [
        ([STEPS[0], {"error": "pull model manifest: file does not exist"}], 2, "file does not exist"),
        ([*STEPS[:3], {"error": "no space left on device"}], 1, "the next pull resumes"),
    ],
)
def test_a_fetch_that_fails_says_why(messages: list[dict[str, Any]], code: int, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with documented({"/api/pull": lines(*messages)}) as server:
        assert main(["ollama", "pull", "nope", "--url", server.url]) == code
    assert word in capsys.readouterr().err


def test_a_server_that_is_not_there_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["list"], ["ps"], ["pull", "m"]):
        assert main(["ollama", *command, "--url", "http://127.0.0.1:9"]) == 2
        assert "ollama serve" in capsys.readouterr().err
    assert main(["ollama", "list", "--url", "ftp://x"]) == 2
    assert "not a server address" in capsys.readouterr().err


def test_a_server_of_ollama_is_started_with_a_name_of_its_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "bin" / "ollama"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT / "tests/engines/scripts/ollama_program.py"} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("LLMOPT_ENGINE_OLLAMA", str(tmp_path))
    probing.output.cache_clear()
    for model, served in (("tiny", "tiny:latest"), ("big:7b", "big:7b")):
        assert main(["serve", "ollama", model, "--json"]) == 0
        out, err = capsys.readouterr()
        found: dict[str, Any] = json.loads(out)
        assert (found["model"], found["version"]) == (served, "0.30.1")
        assert ("ollama pull big:7b" in err) == (model == "big:7b")
        assert main(["ollama", "list", "--url", found["url"]]) == 0
        assert "tiny:latest" in capsys.readouterr().out
        assert main(["runs", "cancel", found["run"]]) == 0
        capsys.readouterr()
        assert main(["ollama", "list", "--url", found["url"]]) == 2
        capsys.readouterr()
