"""What is decided about a terminal from its environment."""

from __future__ import annotations

import pytest

from tui.terminal import ssh


@pytest.mark.parametrize(
    ("environ", "colors"),
    [
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "truecolor"),
        ({"TERM": "xterm"}, "256"),
        ({"TERM": "alacritty"}, "truecolor"),
        ({"TERM": "xterm-ghostty"}, "truecolor"),
        ({"TERM": "xterm-kitty"}, "truecolor"),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0"}, "256"),
        ({"TERM": "screen", "TMUX": "/tmp/tmux-0/default,1,0"}, "256"),
        ({"TERM": "screen-256color"}, "256"),
        ({"TERM": "screen"}, "16"),
        ({"TERM": "screen.xterm-256color", "STY": "1.pts", "COLORTERM": "truecolor"}, "256"),
        ({"TERM": "tmux-256color", "TMUX": "x", "COLORTERM": "24bit"}, "truecolor"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "truecolor"),
        ({"TERM": "rxvt-unicode-256color"}, "256"),
        ({"TERM": "linux"}, "16"),
        ({"TERM": "never-heard-of"}, "16"),
        ({"TERM": "never-heard-of-256color"}, "256"),
        ({"TERM": "vt100"}, "none"),
        ({"TERM": "dumb"}, "none"),
        ({}, "none"),
    ],
)
def test_colours_come_from_what_the_terminal_really_has(environ: dict[str, str], colors: str) -> None:
    assert ssh.inspect(environ).colors == colors


def test_over_ssh_there_is_no_animation_and_half_the_frames() -> None:
    environ = {"TERM": "xterm-256color", "SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22"}
    terminal = ssh.inspect(environ)
    assert (terminal.remote, terminal.animations, terminal.fps) == (True, "none", ssh.SSH_FPS)
    ssh.apply(terminal, environ)
    assert environ["TEXTUAL_FPS"] == "30"
    assert environ["TEXTUAL_ANIMATIONS"] == "none"
    assert environ["TEXTUAL_COLOR_SYSTEM"] == "256"


def test_what_the_person_has_set_stays() -> None:
    environ = {"TERM": "xterm", "SSH_TTY": "/dev/pts/1", "TEXTUAL_FPS": "12", "TEXTUAL_COLOR_SYSTEM": "truecolor"}
    ssh.apply(ssh.inspect(environ), environ)
    assert (environ["TEXTUAL_FPS"], environ["TEXTUAL_COLOR_SYSTEM"]) == ("12", "truecolor")


def test_a_terminal_without_colours_gets_none() -> None:
    environ = {"TERM": "vt100"}
    ssh.apply(ssh.inspect(environ), environ)
    assert environ["NO_COLOR"] == "1"
