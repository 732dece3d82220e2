"""What this terminal can do, decided from the environment before textual is imported.

OpenSSH forwards TERM but drops COLORTERM and TERM_PROGRAM, so the colour depth has to come from the
terminal's name; textual reads frame rate, animation level and colour system once, at import.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Literal

Colors = Literal["truecolor", "256", "16", "none"]

SSH_FPS = 30
"""Frames per second over a network: at most 33 ms from a key to its paint, half the bytes of the default."""

_RANK: dict[str, int] = {"none": 0, "16": 1, "256": 2, "truecolor": 3}

# Names whose terminfo entry understates what the terminal shows; the longest matching prefix wins.
_COLORS_BY_TERM: tuple[tuple[str, Colors], ...] = (
    ("alacritty", "truecolor"),
    ("contour", "truecolor"),
    ("foot", "truecolor"),
    ("iterm2", "truecolor"),
    ("konsole", "truecolor"),
    ("ms-terminal", "truecolor"),
    ("rio", "truecolor"),
    ("wezterm", "truecolor"),
    ("xterm-direct", "truecolor"),
    ("xterm-ghostty", "truecolor"),
    ("xterm-kitty", "truecolor"),
    ("xterm-16color", "16"),
    ("xterm", "256"),
    ("tmux", "256"),
    ("rxvt-16color", "16"),
    ("rxvt", "256"),
    ("screen", "16"),
    ("linux", "16"),
    ("ansi", "16"),
    ("vt", "none"),
    ("dumb", "none"),
)


@dataclass(frozen=True)
class Terminal:
    """The decisions: over a network or not, inside which multiplexer, how many colours, how lively."""

    remote: bool
    multiplexer: Literal["tmux", "screen"] | None
    colors: Colors
    fps: int
    animations: Literal["none", "basic", "full"]


def inspect(environ: Mapping[str, str]) -> Terminal:
    """Decide from the environment alone."""
    remote = any(environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT", "MOSH_CONNECTION"))
    multiplexer = _multiplexer(environ)
    return Terminal(
        remote=remote,
        multiplexer=multiplexer,
        colors=_colors(environ, multiplexer),
        fps=SSH_FPS if remote else 60,
        animations="none" if remote else "basic",
    )


def apply(terminal: Terminal, environ: MutableMapping[str, str]) -> None:
    """Hand the decisions to textual. What the user has set already stays."""
    environ.setdefault("TEXTUAL_FPS", str(terminal.fps))
    environ.setdefault("TEXTUAL_ANIMATIONS", terminal.animations)
    environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0" if terminal.remote else "1")
    color_system = {"truecolor": "truecolor", "256": "256", "16": "standard", "none": "standard"}[terminal.colors]
    environ.setdefault("TEXTUAL_COLOR_SYSTEM", color_system)
    if terminal.colors == "none":
        environ.setdefault("NO_COLOR", "1")


def _multiplexer(environ: Mapping[str, str]) -> Literal["tmux", "screen"] | None:
    if environ.get("TMUX"):
        return "tmux"
    return "screen" if environ.get("STY") else None


def _colors(environ: Mapping[str, str], multiplexer: str | None) -> Colors:
    if environ.get("COLORTERM", "").lower() in {"truecolor", "24bit"}:
        # GNU screen passes the variable on from the terminal around it and then swallows the sequences.
        return "256" if multiplexer == "screen" else "truecolor"
    by_name = _by_name(environ.get("TERM", ""))
    if environ.get("LC_TERMINAL", "").lower() == "iterm2" and multiplexer is None:
        return "truecolor"
    # tmux and screen translate 256 colours to what the terminal around them has, whatever they call themselves.
    if multiplexer is not None and _RANK[by_name] < _RANK["256"]:
        return "256"
    return by_name


def _by_name(term: str) -> Colors:
    name = term.lower()
    if name.endswith(("-direct", "-truecolor")):
        return "truecolor"
    matches = [(prefix, colors) for prefix, colors in _COLORS_BY_TERM if name.startswith(prefix)]
    named: Colors = max(matches, key=lambda match: len(match[0]))[1] if matches else "16"
    if "256color" in name and _RANK[named] < _RANK["256"]:
        return "256"
    return named if name else "none"
