"""A benchmark is found by its bare name in whatever folder it lies, and gets the options that follow the name."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import main, modules


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was started instead of a benchmark; each "meets its bars"."""
    started: list[list[str]] = []

    def start(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        started.append(command[1:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", start)
    return started


def test_no_two_benchmarks_share_a_name() -> None:
    folder = Path(__file__).parent
    counted = Counter(file.stem for file in folder.rglob("*.py") if file.stem != "__init__")
    assert {name: files for name, files in counted.items() if files > 1} == {}
    assert [module for module in modules().values() if find_spec(module) is None] == []
    assert len(modules()) > 30


def test_every_benchmark_can_be_run_and_ends_in_an_exit_code() -> None:
    root = Path(__file__).parents[2]
    sources = {name: (root / f"{module.replace('.', '/')}.py").read_text() for name, module in modules().items()}
    assert [name for name, source in sources.items() if "sys.exit(not main(" not in source] == []


def test_a_bare_name_finds_its_module_and_all_run_by_default(commands: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["idle", "paging"]) == 0
    assert commands == [["-m", "tests.benchmarks.screens.idle"], ["-m", "tests.benchmarks.kvcache.paging"]]
    commands.clear()
    assert main([]) == 0
    assert [module for _, module in commands] == list(modules().values())


def test_options_and_arguments_go_to_the_one_that_is_named(commands: list[list[str]]) -> None:
    assert main(["faults", "--requests", "100"]) == main(["bundled_models", "--", "one", "two"]) == 0
    assert commands == [
        ["-m", "tests.benchmarks.load.faults", "--requests", "100"],
        ["-m", "tests.benchmarks.models.bundled_models", "one", "two"],
    ]


@pytest.mark.parametrize(
    ("arguments", "words"), [(["idle", "pagin"], "no benchmark pagin: choose from"), (["idle", "paging", "--requests"], "name one benchmark")]
)
def test_what_does_not_fit_is_refused(arguments: list[str], words: str, commands: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
    assert commands == []


def test_a_module_path_runs_too() -> None:
    module = modules()["faults"]
    done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: python -m tests.benchmarks faults")
