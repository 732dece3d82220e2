"""What stands below the options of `llmopt quantize`: every method in a line, and a command for each."""

from __future__ import annotations

import textwrap

from core.quantize.plan.methods import FACTS

EXAMPLES = (
    "bundled:base",
    "bundled:base --method gptq --bits 3 --format gptq",
    "bundled:base --method awq",
    "bundled:base --method smoothquant --activation-scales static",
    "bundled:base --method fp8 --granularity block",
    "bundled:base --method nf4",
    "bundled:base --method int8",
    "bundled:base --method additive",
    "bundled:base --method qat --bits 4 --granularity channel",
    "bundled:base --method mixed --budget 3.5",
    "bundled:base --method gguf --level Q4_K_M --imatrix",
)
"""Arguments, one for every method and one for the defaults."""


def quantizing() -> str:
    """Methods with the formats that hold their results, and examples, as plain text of at most 78 columns."""
    left = max(map(len, FACTS)) + 4
    lines = ["Methods, and the formats that hold their results (the first is the default):"]
    for name, facts in FACTS.items():
        told = f"{facts.summary}: {', '.join(facts.formats)}"
        lines += textwrap.wrap(told, 78, initial_indent=f"  {name}".ljust(left), subsequent_indent=" " * left, break_on_hyphens=False)
    return "\n".join([*lines, "", "Examples:", *(f"  llmopt quantize {arguments}" for arguments in EXAMPLES)])
