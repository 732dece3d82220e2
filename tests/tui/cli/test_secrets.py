"""A key of a server: it reaches the server, and is in no command line, no file of the run, no report and no line on the screen."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from core import sanitize
from core.benchmark.spec import BenchmarkSpec
from core.engine import ServeSpec
from core.runs.state import store
from tests.core.benchmark.refusing import Refusing, refusing
from tests.tui.cli.conftest import ROOT, Llmopt
from tui.cli import main
from tui.cli.keys import ask_for_key

KEY = "sk-sEcReT-0123456789abcdef"
LOAD = ("--requests", "6", "--concurrency", "2", "--output-tokens", "4", "--input-tokens", "16", "--warmup", "0")
FORMATS = ("json", "csv", "md", "html")


@pytest.fixture(autouse=True)
def _nothing_hidden_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sanitize, "_SECRETS", set())


def command_lines() -> list[str]:
    """Of all processes of this machine that can be seen."""
    return [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]


def files_with(text: str, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def told(server: Refusing, home: Path, tmp_path: Path) -> str:
    """Run a benchmark and export it in every way; what was said on the screen. Nobody's command line has the key while it runs."""
    environment = os.environ | {"THE_KEY": KEY, "PYTHONPATH": str(ROOT)}
    llmopt = [sys.executable, "-c", "import sys; from tui.cli import main; sys.exit(main())"]
    output = tmp_path / "output"
    with output.open("wb") as file:
        asked = [*llmopt, "benchmark", server.url, "--key-env", "THE_KEY", *LOAD]
        running = subprocess.Popen(asked, env=environment, stdout=file, stderr=subprocess.STDOUT)
        seen = 0
        while running.poll() is None:
            lines = command_lines()
            assert not [line for line in lines if KEY in line]
            seen += any("core.benchmark.client.worker" in line for line in lines)
    assert seen or server.kind != "slow", "the load was never looked at while it ran"
    (run,) = store.list_runs()
    assert run.path.is_relative_to(home)
    for kind in FORMATS:
        assert main(["runs", "export", run.id, "--to", kind, "--out", str(tmp_path / f"report.{kind}")]) == 0
    return output.read_text()


@pytest.mark.parametrize("kind", ["slow", "broken"])
def test_the_key_of_a_measured_server_is_nowhere(kind: str, tmp_path: Path) -> None:
    home = Path(os.environ["LLMOPT_HOME"])
    with refusing(kind) as server:
        said = told(server, home, tmp_path)
    assert server.heads
    assert set(server.heads) == {f"Bearer {KEY}"}
    assert KEY not in said
    assert ("Bearer [key]" in said) is (kind == "broken")
    assert len(files_with("THE_KEY", home)) >= 1, "spec.json names the variable"
    assert files_with(KEY, home) == []
    assert files_with(KEY, tmp_path) == []


@pytest.mark.parametrize("extra", [f"--api-key={KEY}", f"--api-key,{KEY}", f"--hf-token={KEY}"])
def test_a_key_among_the_arguments_of_a_server_is_refused(extra: str, llmopt: Llmopt) -> None:
    answer = llmopt("serve", "runtime", "bundled:base", f"--extra={extra}")
    assert answer.code == 2
    assert "would put a key on the command line" in answer.err
    assert KEY not in answer.err + answer.out
    assert store.list_runs() == []


def test_a_key_that_is_not_set_is_asked_for_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKED", "")
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return f" {KEY}\n"

    monkeypatch.setattr(getpass, "getpass", answer)
    spec = _spec("ASKED")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    ask_for_key(spec)
    assert not asked
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    ask_for_key(spec)
    assert os.environ["ASKED"] == KEY
    assert asked == ["key for http://127.0.0.1:1 (ASKED is not set): "]
    ask_for_key(spec)
    assert len(asked) == 1
    ask_for_key(ServeSpec(engine="runtime", model="bundled:base"))
    assert len(asked) == 1


def _spec(variable: str) -> BenchmarkSpec:
    return BenchmarkSpec(model="http://127.0.0.1:1", key_env=variable)
