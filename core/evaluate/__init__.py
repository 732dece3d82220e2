"""Perplexity, KL divergence and top-1 agreement, each with its standard error and its stated convention.

Imports models, formats and the ground floor; the names below are imported when first used. Never a capability, which calls it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.evaluate.encoding import Encoding, encode, tokenize
    from core.evaluate.logits.sources import LogitSource, ModelLogits, StreamedLogits
    from core.evaluate.measure import divergence, divergences, perplexity
    from core.evaluate.result import Convention, Divergence, EvaluateResult, Perplexity
    from core.evaluate.spec import EvaluateSpec
    from core.evaluate.windows import Windows, windows_of

__all__ = [
    "Convention",
    "Divergence",
    "Encoding",
    "EvaluateResult",
    "EvaluateSpec",
    "LogitSource",
    "ModelLogits",
    "Perplexity",
    "StreamedLogits",
    "Windows",
    "divergence",
    "divergences",
    "encode",
    "perplexity",
    "tokenize",
    "windows_of",
]

_MODULES = {
    "encoding": ("Encoding", "encode", "tokenize"),
    "measure": ("divergence", "divergences", "perplexity"),
    "result": ("Convention", "Divergence", "EvaluateResult", "Perplexity"),
    "logits.sources": ("LogitSource", "ModelLogits", "StreamedLogits"),
    "spec": ("EvaluateSpec",),
    "windows": ("Windows", "windows_of"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
