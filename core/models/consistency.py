"""Do a configuration and a checkpoint's tensors belong together? Sizes are asked before transformers allocates what the configuration says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import RequestError
from core.models.config.normal_config import NormalConfig
from core.models.disk.files import shown
from core.models.disk.headers import TensorLocation
from core.models.logical import DERIVED
from core.models.structure import decoder_path
from core.sanitize import clean

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

_LONGEST_CONTEXT = 2**27

_PARTS_OF_CODES = re.compile(r"(scale|scales|scale_inv|zero_?points?|q?zeros|g_idx|absmax|quant_map|quant_state|SCB|qweight|weight_packed|amax)\b")

_OF_THE_CACHE = re.compile(r"(\b[qkv]_scale|\bkv_scale|\b[qkv]_proj\.output_scale|\bprob_output_scale|\b[qkv]_zero_point)$")
_OTHER_PARTS = re.compile(
    r"(vision|visual|image|video|audio|speech|talker|code2wav|token2wav|projector|connector|mtp|nextn|eagle|medusa|"
    r"v_head|value_head|reward_head|score|classifier)"
)
"""What models consist of besides the text decoder: encoders of other media, drafters, heads for other tasks."""
_ADDED = re.compile(r"(lora_|adapter|ia3)")
"""What is added to a model's weights."""
_EXTRA_BLOCKS = ("num_nextn_predict_layers", "num_mtp_layers", "mtp_num_hidden_layers")


def check_consistent(config: NormalConfig, tensors: Mapping[str, TensorLocation], folder: Path) -> None:
    """Nothing, when no size that the configuration states goes beyond what the weights can hold.

    Raises:
        RequestError: a size that no tensor has, more blocks than tensors, or a context of no real model.
    """
    shapes = [location.info.shape for location in tensors.values()]
    sizes = {size for shape in shapes for size in shape}
    largest = max(sizes, default=0)
    for name in ("hidden_size", "vocab_size"):
        if config.count(name) not in sizes:
            raise _mismatch(folder, name, config.count(name))
    for name, value, limit in (
        ("num_hidden_layers", config.layers, len(shapes)),
        ("num_attention_heads", config.heads, largest),
        ("num_key_value_heads", config.kv_heads, largest),
        ("head_dim", config.head_dim, largest),
        ("intermediate_size", config.optional_count("intermediate_size") or 1, largest * largest),
        ("max_position_embeddings", config.count("max_position_embeddings", 1), _LONGEST_CONTEXT),
    ):
        if value > limit:
            raise _mismatch(folder, name, value)


def check_taken(model: PreTrainedModel, unexpected: Mapping[str, str], folder: Path, read: Callable[[str], Tensor]) -> None:
    """Nothing, when tensors for which the model has no place do not change what it predicts.

    Args:
        model: as config.json describes it; may be on the meta device.
        unexpected: the tensors, by the name that the model would give them: their name in the checkpoint.
        folder: names the checkpoint in complaints.
        read: a tensor by its name in the checkpoint.

    Raises:
        RequestError: naming the first that the text decoder would take part of, and how many there are.
    """
    matters = _what_matters(model)
    stray = [name for name in sorted(unexpected) if matters(name) and not (name.endswith(".bias") and not read(unexpected[name]).any())]
    if not stray:
        return
    more = f" and {len(stray) - 1} more" if len(stray) > 1 else ""
    why = "the weights do not belong to this config.json"
    if _PARTS_OF_CODES.search(stray[0]):
        why = "it is part of quantized weights whose format config.json does not state in quantization_config, fetch config.json again"
    raise RequestError(
        f"the tensor {clean(stray[0], limit=200)!r}{more} in {shown(folder)} is not part of the model that config.json describes: {why}"
    )


def _what_matters(model: PreTrainedModel) -> Callable[[str], bool]:
    """From the name of a tensor that has no place to whether the text decoder would be another with it."""
    modules, decoder, known = dict(model.named_modules()), decoder_path(model), set(model.state_dict())
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    ignored = [re.compile(pattern) for pattern in getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()]

    def matters(name: str) -> bool:
        if DERIVED.search(name) or of_the_cache(name) or any(pattern.search(name) for pattern in ignored):
            return False
        parts = name.split(".")
        above = [path for end in range(1, len(parts)) if (path := ".".join(parts[:end])) in modules]
        if any(modules[path] is head or (path.startswith(decoder) and f"{path}." != decoder) for path in above):
            return not _is_extra_block(model, name)
        if _OTHER_PARTS.search(name):
            return False
        if any(".".join(parts[begin:]) in known for begin in range(1, len(parts))):  # a second set of weights
            return True
        return name.startswith(decoder) or _ADDED.search(name) is not None or _PARTS_OF_CODES.search(name) is not None

    return matters


def _is_extra_block(model: PreTrainedModel, name: str) -> bool:
    """Whether a tensor is of a block that predicts further tokens, which follows the decoder's own."""
    config = model.config.get_text_config()
    extra = next((count for key in _EXTRA_BLOCKS if isinstance(count := getattr(config, key, None), int)), 0)
    depth, found = getattr(config, "num_hidden_layers", 0), re.search(r"\.(\d+)\.", name)
    return found is not None and depth <= int(found[1]) < depth + extra


def of_the_cache(name: str) -> bool:
    """Whether a tensor of this name says how keys and values are rounded."""
    return _OF_THE_CACHE.search(name) is not None


def _mismatch(folder: Path, name: str, value: int) -> RequestError:
    return RequestError(f"{shown(folder / 'config.json')} says {name} = {value:,}, but its weights do not: the two do not belong together")
