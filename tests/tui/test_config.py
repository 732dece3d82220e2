"""The settings file: every mistake is one sentence that names the file and the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import RequestError
from tui import config
from tui.__main__ import main


def test_without_a_file_there_are_defaults(tmp_path: Path) -> None:
    assert config.load(tmp_path / "config.toml") == config.Settings()


def test_the_file_is_read_where_the_environment_says(llmopt_home: Path) -> None:
    assert config.path() == llmopt_home / "config.toml"


def test_every_field_can_be_set(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        'theme = "nord"\nrefresh_interval = 2\nread_only = true\ncolors = "16"\n[keymap]\n"app.help" = "f1,ctrl+g"\n[engines]\nvllm = "/opt/vllm"\n'
    )
    assert config.load(file) == config.Settings("nord", 2.0, True, "16", {"app.help": "f1,ctrl+g"}, {"vllm": "/opt/vllm"})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("themes = 1", "has an unknown field themes: remove it, or check its spelling"),
        ("refresh_interval = 0", "refresh_interval is invalid: input should be greater than or equal to 0.2"),
        ("read_only = 'maybe'", "read_only is invalid: input should be a valid boolean"),
        ("colors = 'many'", "colors is invalid: input should be 'auto', 'truecolor', '256', '16' or 'none'"),
        ("[keymap]\n'a' = 3", "keymap.a is invalid: input should be a valid string"),
        ("theme =", "is not valid TOML"),
        ('"\\u001b[2J" = 1', "has an unknown field �[2J"),
    ],
)
def test_a_mistake_is_one_sentence_without_control_characters(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(RequestError) as error:
        config.load(file)
    assert str(file) in str(error.value)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)


def test_a_file_that_is_a_folder_or_not_text_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        config.load(tmp_path)
    binary = tmp_path / "config.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(RequestError, match="not UTF-8"):
        config.load(binary)


def test_a_bad_file_ends_the_start_with_exit_code_2(llmopt_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (llmopt_home / "config.toml").write_text("colour = 1")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert main([]) == 2
    assert "unknown field colour" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "said"), [(["--version"], "llmopt-tui "), (["--help"], "--read-only")])
def test_version_and_help_answer_without_a_terminal(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert said in capsys.readouterr().out


def test_an_unknown_switch_and_a_missing_terminal_are_wrong_requests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--frobnicate"]) == 2
    assert main([]) == 2
    assert "needs a terminal" in capsys.readouterr().err
