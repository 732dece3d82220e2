"""The text below the options of `llmopt quantize`: every method in a line, and a command for each."""

from __future__ import annotations

import textwrap

from core.quantize.methods import METHODS

EXAMPLES = tuple(f"bundled:base {options}".rstrip() for options in ("", *(method.example for method in METHODS.values() if method.example)))
"""Arguments: the defaults, and what shows a method."""


def quantizing() -> str:
    """Methods with the formats that hold their results, and examples, as plain text of at most 78 columns."""
    left = max(map(len, METHODS)) + 4
    lines = ["Methods and their formats (the first is the default):"]
    for name, method in METHODS.items():
        text = f"{method.summary}: {', '.join(method.formats)}"
        lines += textwrap.wrap(text, 78, initial_indent=f"  {name}".ljust(left), subsequent_indent=" " * left, break_on_hyphens=False)
    return "\n".join([*lines, "", "Examples:", *(f"  llmopt quantize {arguments}" for arguments in EXAMPLES)])
