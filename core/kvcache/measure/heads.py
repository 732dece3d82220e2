"""The same model with more or fewer heads of keys and values."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from torch import Tensor

from core.errors import RequestError
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROJECTIONS = ("k_proj.weight", "k_proj.bias", "v_proj.weight", "v_proj.bias")


def with_groups(model: PreTrainedModel, groups: int) -> PreTrainedModel:
    """A model whose query heads share `groups` heads of keys and values.

    More heads than the model has are copies of its own, which changes nothing about its outputs. Fewer are means of those whose places they
    take (arXiv 2305.13245, section 2.1), as uptraining would begin with; here nothing is trained afterwards. All other weights are shared with
    the original.

    Args:
        model: with separate projections of keys and values in each block.
        groups: a divisor of the query heads.

    Raises:
        RequestError: projections that cannot be regrouped.
    """
    whole: Any = copy.deepcopy(model.config)
    config = whole.get_text_config(decoder=True)
    heads, own = config.num_attention_heads, getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    config.num_key_value_heads = groups
    state = model.state_dict()
    regrouped = {name: _regroup(name, weight, heads, own, groups, head_dim) for name, weight in state.items() if name.endswith(_PROJECTIONS)}
    if not regrouped:
        raise RequestError(f"head variants need projections k_proj and v_proj, and {clean(str(config.model_type), limit=40)} has none: omit heads")
    made: PreTrainedModel = _empty(type(model), whole)
    _check_shapes(made, state | regrouped)
    made.load_state_dict(state | regrouped, strict=True, assign=True)
    made.tie_weights()
    for name, buffer in model.named_buffers():
        owner, _, last = name.rpartition(".")
        made.get_submodule(owner)._buffers[last] = buffer
    made.eval()  # type: ignore[no-untyped-call]
    made.requires_grad_(False)
    return made


def _check_shapes(made: PreTrainedModel, state: dict[str, Tensor]) -> None:
    for name, parameter in made.named_parameters():
        if name not in state or state[name].shape != parameter.shape:
            raise RequestError(f"{clean(name, limit=120)} belongs to all heads of keys together, which cannot be regrouped: omit heads")


def _empty(kind: type[PreTrainedModel], config: Any) -> Any:
    """A model without memory for its weights."""
    import torch

    with torch.device("meta"):
        return kind(config)


def _regroup(name: str, weight: Tensor, heads: int, own: int, groups: int, head_dim: int) -> Tensor:
    """Rows [own heads * d, ...] of a projection to [groups * d, ...]."""
    if weight.shape[0] != own * head_dim:
        raise RequestError(f"{clean(name, limit=120)} has {weight.shape[0]} rows and not {own} heads of {head_dim}: omit heads")
    shape = weight.shape[1:]
    each = weight.view(own, head_dim, *shape).repeat_interleave(heads // own, dim=0)
    pooled = each.view(groups, heads // groups, head_dim, *shape)
    copies = groups >= own and groups % own == 0
    chosen = pooled[:, 0] if copies else pooled.float().mean(1).to(weight.dtype)
    return chosen.reshape(groups * head_dim, *shape)
