"""`llmopt completion SHELL`."""

from __future__ import annotations

from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a shell's completion script, for example: llmopt completion bash > ~/.local/share/bash-completion/completions/llmopt."""
    from tui.cli.app import build

    print(build().generate_completion(shell=shell), end="")
    return 0
