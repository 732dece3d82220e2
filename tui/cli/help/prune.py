"""The text below the options of `llmopt prune`: every method in a line, and a command for each."""

from __future__ import annotations

import textwrap

from core.prune.methods import METHODS

EXAMPLES = tuple(f"bundled:base {options}".rstrip() for options in ("", *(method.example for method in METHODS.values() if method.example)))
"""Arguments: the defaults, and what shows a method."""
_SPEED = (
    "Methods that leave zeros in place make no file smaller and no CPU faster; those that cut the model do both. --keep n:m keeps n of every m "
    "weights: 2:4 is half, 1:4 a quarter."
)


def pruning() -> str:
    """Methods, what is to be known of speed, and examples, as plain text of at most 78 columns."""
    left = max(map(len, METHODS)) + 4
    lines = ["Methods:"]
    for name, method in METHODS.items():
        lines += textwrap.wrap(method.summary, 78, initial_indent=f"  {name}".ljust(left), subsequent_indent=" " * left, break_on_hyphens=False)
    speed = textwrap.wrap(_SPEED, 78)
    return "\n".join([*lines, "", *speed, "", "Examples:", *(f"  llmopt prune {arguments}" for arguments in EXAMPLES)])
