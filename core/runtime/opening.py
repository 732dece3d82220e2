"""Which decoder runs a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from torch import nn

from core.errors import RequestError
from core.runtime.cache import KvCache
from core.runtime.decoder import Decoder
from core.runtime.fused.decoder import FusedDecoder
from core.runtime.fused.families import refusal
from core.runtime.fused.weights import odd_module
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
    whole: PreTrainedModel = cast("PreTrainedModel", model)
    reason = refusal(whole.config) or odd_module(whole)
    if fused and reason is not None:
        raise RequestError(reason)
    decoder: Any
    if reason is None and fused is not False:
        decoder = FusedDecoder(whole, max_tokens, cache=cache, batch=batch)
    else:
        decoder = ModuleDecoder(whole, max_tokens, cache, batch)
    return cast(Decoder, decoder)
