"""`llmopt serve`: the command first, then the address; the server runs until its run is cancelled."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from core.engine import ServeSpec
from tests.tui.cli.test_secrets import KEY, command_lines, files_with
from tui.cli import main


def test_every_field_stands_in_a_section() -> None:
    assert sorted(name for _, names in ServeSpec.sections for name in names) == sorted(ServeSpec.model_fields)


def test_a_server_is_started_answers_and_is_stopped_and_shows_no_secret(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "VLLM_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, KEY)
    assert main(["serve", "runtime", "bundled:base", "--threads", "1", "--context", "128", "--json"]) == 0
    out, told = capsys.readouterr()
    found: dict[str, Any] = json.loads(out)
    assert found["schema"].startswith("llmopt.serve/")
    assert found["model"] == "bundled:base"
    assert "engines.server" in told
    assert told.index("starting ") == min(told.index(word) for word in ("starting ", "engines.server"))
    with urllib.request.urlopen(found["url"] + "/health", timeout=5) as answer:
        assert answer.status == 200
    lines = command_lines()
    assert any("engines.server" in line for line in lines)
    assert not [line for line in lines if KEY in line]
    assert main(["runs", "cancel", found["run"]]) == 0
    assert KEY not in out + told
    assert files_with("engines.server", Path(os.environ["LLMOPT_HOME"]))
    assert files_with(KEY, Path(os.environ["LLMOPT_HOME"])) == []
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(found["url"] + "/health", timeout=5)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "give an ENGINE and a MODEL"),
        (["nobody", "bundled:base"], "unknown engine"),
        (["tgi", "bundled:base"], "not started by this program"),
        (["llama-cpp", "bundled:base"], "supports only GGUF files"),
        (["runtime", "bundled:base", "--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
        (["runtime", "bundled:nothing"], "bundled:nothing"),
        (["runtime", "bundled:base", "--context", "5000"], "exceeds the 1024"),
    ],
)
def test_what_cannot_be_served_is_refused(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *arguments]) == 2
    assert word in capsys.readouterr().err
