"""The table from which the method is chosen: what it removes, what it reads, and what becomes faster."""

from __future__ import annotations

from dataclasses import dataclass

from core.prune.methods import METHODS
from core.prune.methods.base import Kind, Method
from tui.widgets.form.table_picker import Options, Row


@dataclass(frozen=True)
class Removal:
    """What a kind of method does to a model."""

    what: str
    faster: str
    """In a few words."""
    detail: str
    """In a sentence."""


REMOVALS: dict[Kind, Removal] = {
    "weights": Removal(
        "single weights", "nothing on a CPU", "The zeros stay in place: the file is as large as before, and a CPU multiplies them too."
    ),
    "channels": Removal("FFN channels", "prefill and decode", "The model has narrower FFN layers, is smaller, and every engine runs it faster."),
    "heads": Removal(
        "attention heads", "both, less KV cache", "The model has fewer attention heads and is smaller; whole KV groups also shrink the KV cache."
    ),
    "width": Removal("hidden columns", "prefill and decode", "The model has a narrower hidden state, and with it every linear is smaller."),
    "layers": Removal("whole blocks", "both, less KV cache", "The model has fewer blocks: latency, size and KV cache shrink by about their share."),
}


def method_options() -> Options:
    """Every method, with what it removes and what that gains."""
    rows = [
        Row(method.name, (method.name, REMOVALS[method.kind].what, _text(method), REMOVALS[method.kind].faster), _detail(method))
        for method in METHODS.values()
    ]
    return Options((("method", 13), ("removes", 17), ("text", 13), ("what gets faster", 30)), rows, "text: whether calibration text is read")


def _text(method: Method) -> str:
    return {"yes": "yes", "no": "no", "criterion": "by criterion"}[method.calibration]


def _detail(method: Method) -> str:
    return f"{method.summary[:1].upper()}{method.summary[1:]}. {REMOVALS[method.kind].detail}"
