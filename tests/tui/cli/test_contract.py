"""What other programs rely on: exit codes, streams, one document, one sentence, a quick answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import __version__
from core.runs.registry import spec_class
from core.runs.state import store
from tests.core.runs.tick import TickSpec
from tests.tui.cli.conftest import ROOT, Llmopt, process
from tui.cli.app import COMMANDS

EXPERIMENTS = (
    "quantize",
    "quantize-compare",
    "prune",
    "distill",
    "distill-compare",
    "distill-data",
    "prune-compare",
    "evaluate",
    "verify",
    "kv-cache",
    "kv-cache-why",
    "speculate",
    "speculate-test",
)


def test_version(llmopt: Llmopt) -> None:
    answer = llmopt("--version")
    assert (answer.code, answer.out, answer.err) == (0, f"llmopt {__version__}\n", "")


def test_the_version_costs_less_than_a_third_of_a_second_of_processor_time_and_imports_no_experiment() -> None:
    heavy = "[name for name in sys.modules if name.startswith(('pydantic', 'core.models', 'core.quantize', 'core.benchmark', 'core.runs'))]"
    program = f"import time, sys; from tui.cli import main; main(['--version']); print(time.process_time(), {heavy}, file=sys.stderr)"
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    seconds, _, modules = answer.stderr.strip().partition(" ")
    assert modules == "[]"
    assert float(seconds) < 0.3


@pytest.mark.parametrize("command", [name for name, _, _ in COMMANDS])
def test_every_command_explains_itself(llmopt: Llmopt, command: str) -> None:
    answer = llmopt(command, "--help")
    assert answer.code == 0
    assert "Usage: llmopt" in answer.out


@pytest.mark.parametrize("key", EXPERIMENTS)
def test_the_options_are_the_fields_of_the_spec(llmopt: Llmopt, key: str) -> None:
    help_text = llmopt(key, "--help").out
    flat = " ".join(help_text.replace("│", " ").split())
    for name, field in spec_class(key).model_fields.items():
        assert f"--{name.replace('_', '-')}" in flat
        first_words = " ".join((field.description or "").split()[:2])
        assert first_words in flat


@pytest.mark.parametrize(
    "arguments",
    [
        ("quantize",),
        ("quantize", "MODEL", "--bits", "99"),
        ("quantize", "MODEL", "--bits", "four"),
        ("quantize", "MODEL", "--group-size", "48"),
        ("quantize", "MODEL", "--method", "magic"),
        ("quantize", "MODEL", "--colour", "blue"),
        ("quantize", "MODEL", "--activation-bits", "8"),
        ("quantize", "MODEL", "--group-size", "32", "--text", "/no/such/text"),
        ("quantize", "MODEL", "MODEL"),
        ("quantize", "/no/such/model"),
        ("quantize", "bundled:nobody"),
        ("quantize", "nobody/nothing"),
        ("quantize", "\x1b[31mred\x1b[0m/\x07bell"),
        ("prune",),
        ("prune", "MODEL", "--sparsity", "1"),
        ("prune", "MODEL", "--keep", "4:2"),
        ("prune", "MODEL", "--keep", "2:7"),
        ("prune", "MODEL", "--method", "magic"),
        ("distill", "MODEL", "--alpha", "2"),
        ("distill", "MODEL", "--student", "/no/such/student"),
        ("distill", "MODEL", "--train-text", "/no/such/text"),
        ("distill-data", "http://127.0.0.1:1"),
        ("distill-data", "http://127.0.0.1:1", "--seeds", "/no/such/seeds"),
        ("distill-data", "MODEL", "--seeds", "/no/such/seeds"),
        ("evaluate", "MODEL", "--tokens", "1"),
        ("evaluate", "MODEL", "--reference", "/no/such/model"),
        ("estimate", "MODEL", "--weights", "base64"),
        ("estimate", "MODEL", "--context", "0"),
        ("estimate", "MODEL", "--gpu", "abacus"),
        ("recommend", "MODEL", "--use-case", "poetry"),
        ("runs", "show", "nothing"),
        ("runs", "cancel", "nothing"),
        ("runs", "compare", "nothing"),
        ("runs", "export", "last", "--to", "docx"),
        ("runs", "dance"),
        ("dance",),
        ("tick", "--spec", "/no/such/file"),
    ],
    ids=" ".join,
)
def test_a_wrong_request_is_one_sentence_and_exit_code_2(llmopt: Llmopt, model_dir: Path, arguments: tuple[str, ...]) -> None:
    answer = llmopt(*(str(model_dir) if word == "MODEL" else word for word in arguments))
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("llmopt: ")
    assert answer.err.count("\n") == 1
    assert "Traceback" not in answer.err
    assert not set("\x1b\x07") & set(answer.err)
    assert store.list_runs() == []


def test_with_json_even_a_refusal_is_one_document(llmopt: Llmopt, model_dir: Path) -> None:
    answer = llmopt("quantize", str(model_dir), "--bits", "99", "--json")
    assert answer.code == 2
    assert answer.document["exit_code"] == 2
    assert "99" in str(answer.document["error"])


@pytest.mark.parametrize(
    "arguments", [("quantize", "MODEL", "--group-size", "48"), ("evaluate", "MODEL", "--reference", "/no/such"), ("quantize", "--help"), ("models",)]
)
def test_nothing_heavy_is_imported_to_refuse_or_to_explain(model_dir: Path, arguments: tuple[str, ...]) -> None:
    front = process(*(str(model_dir) if word == "MODEL" else word for word in arguments))
    _, err = front.communicate()
    assert err.splitlines()[-1] == "heavy modules: []"


def test_an_output_folder_that_exists_is_refused_before_any_work(llmopt: Llmopt, model_dir: Path, tmp_path: Path) -> None:
    answer = llmopt("quantize", str(model_dir), "--group-size", "32", "--context", "64", "--calibration-length", "64", "--out", str(tmp_path))
    assert answer.code == 2
    assert "exists" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_a_saved_spec_runs_again_and_options_beside_it_win(llmopt: Llmopt, model_dir: Path) -> None:
    assert llmopt("tick", str(model_dir), "--ticks", "4", "--device", "cpu").code == 0
    first = store.find("last")
    answer = llmopt("tick", "--spec", str(first.spec_file), "--json")
    assert answer.document["metrics"] == {"ticks": 4, "nothing": None, "seed": 0}
    assert llmopt("tick", "--spec", str(first.spec_file), "--ticks", "2", "--json").document["metrics"] == {"ticks": 2, "nothing": None, "seed": 0}


def test_a_saved_spec_of_another_command_is_refused(llmopt: Llmopt, model_dir: Path) -> None:
    run = store.create(TickSpec(model=str(model_dir)))
    answer = llmopt("quantize", "--spec", str(run.spec_file))
    assert answer.code == 2
    assert "`llmopt tick --spec`" in answer.err


def test_an_unknown_field_in_a_saved_spec_is_named(llmopt: Llmopt, model_dir: Path, tmp_path: Path) -> None:
    document = json.loads(store.create(TickSpec(model=str(model_dir))).spec_file.read_text())
    document["spec"]["tocks"] = 5
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(document))
    answer = llmopt("tick", "--spec", str(path))
    assert answer.code == 2
    assert "unknown field tocks" in answer.err


def test_a_failed_run_is_its_sentence_and_its_exit_code(llmopt: Llmopt, model_dir: Path) -> None:
    answer = llmopt("tick", str(model_dir), "--end", "sentence", "--device", "cpu")
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err.splitlines()[-1] == "llmopt: the clock stopped: wind it up"


def test_a_traceback_only_with_debug(llmopt: Llmopt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "list_runs", lambda: 1 / 0)
    plain = llmopt("runs", "list")
    assert plain.code == 1
    assert plain.err == "llmopt: ZeroDivisionError: division by zero (run again with --debug for the traceback)\n"
    assert "Traceback" in llmopt("runs", "list", "--debug").err


def test_a_reader_that_has_seen_enough_is_no_error(model_dir: Path) -> None:
    for _ in range(30):
        store.create(TickSpec(model=str(model_dir)))
    read, write = os.pipe()
    os.close(read)
    front = process("runs", "list", "--json", stdout=write)
    os.close(write)
    _, err = front.communicate()
    assert front.returncode == 0
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


@pytest.mark.parametrize("arguments", [("runs", "list"), ("runs", "list", "--json"), ("quantize", "模型/\udcff")])
def test_a_terminal_that_knows_only_ascii_is_served(arguments: tuple[str, ...]) -> None:
    store.create(TickSpec(model="模型"))
    front = process(*arguments, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    out, err = front.communicate()
    assert "UnicodeEncodeError" not in err
    if "--json" in arguments:
        assert json.loads(out)["runs"][0]["model"] == "模型"


def test_a_home_that_cannot_be_used_is_one_sentence_and_exit_code_2(
    llmopt: Llmopt, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")
    monkeypatch.setenv("LLMOPT_HOME", str(occupied))
    answer = llmopt("tick", str(model_dir))
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert str(occupied) in answer.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_commands(llmopt: Llmopt, shell: str) -> None:
    answer = llmopt("completion", shell)
    assert answer.code == 0
    assert "quantize" in answer.out
    assert "group-size" in answer.out
