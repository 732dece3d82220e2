"""What an experiment was asked to do, in a few words. Pure."""

from __future__ import annotations

from core.quantize.methods import METHODS
from core.quantize.spec import fill, unchecked
from core.sanitize import clean
from core.spec import Values


def recipe(values: Values) -> str:
    """`gptq 4 bit g128`, `fp8 e4m3 per channel a8`, `gguf Q4_K_M`: the method, what belongs to it, and what departs from the usual."""
    name = str(values.get("method", ""))
    method = METHODS.get(name)
    if method is None:
        return clean(name, limit=60)
    asked = unchecked(fill(values))
    stored = [] if asked.format == method.formats[0] else [f"as {asked.format}"]
    return clean(" ".join(filter(None, [name, *method.recipe(asked), *stored])), limit=60)
