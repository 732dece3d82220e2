"""Count the key and value vectors that a model computes, in its own projections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import RequestError
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_VECTORS = {"k_proj": 1, "v_proj": 1, "key_proj": 1, "value_proj": 1, "qkv_proj": 2, "query_key_value": 2, "c_attn": 2, "Wqkv": 2}
"""Name of a projection to how many of keys and values each of its output rows holds."""


@dataclass
class Count:
    """Vectors so far."""

    vectors: int = 0


@contextmanager
def counted(model: PreTrainedModel) -> Iterator[Count]:
    """Within, every row that a projection of keys or values computes is counted.

    Raises:
        RequestError: the model has no projections by names that are known.
    """
    count, hooks = Count(), []
    for name, module in model.named_modules():
        vectors = _VECTORS.get(name.rpartition(".")[2])
        if vectors is not None:
            hooks.append(module.register_forward_hook(_hook(count, vectors)))
    if not hooks:
        family = clean(str(model.config.model_type), limit=40)
        raise RequestError(f"the projections of keys and values of {family} are not known by name: choose another model")
    try:
        yield count
    finally:
        for hook in hooks:
            hook.remove()


def _hook(count: Count, vectors: int) -> Any:
    def hook(_module: Any, _inputs: Any, output: Any) -> None:
        count.vectors += vectors * output.shape[:-1].numel()

    return hook
