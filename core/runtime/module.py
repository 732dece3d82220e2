"""A decoder over any transformers causal LM, by its own forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from core.errors import RequestError
from core.runtime.cache import KvCache
from core.runtime.caches.static import StaticKvLayer
from core.runtime.changing_rope import TokenHistory, original_context
from core.runtime.decoder import Tree
from core.runtime.observed import observed
from core.runtime.rows import Rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ModuleDecoder:
    """`core.runtime.decoder.Decoder` through the modules of the model.

    Args:
        model: in evaluation mode, on one device.
        max_tokens: slots of the cache, prompt and answer together.
        cache: default: static buffers.
        batch: sequences.

    Raises:
        RequestError: more tokens than the model's context, or a family that keeps more than keys and values of the past.
    """

    def __init__(self, model: PreTrainedModel, max_tokens: int, cache: KvCache | None = None, batch: int = 1) -> None:
        config: Any = model.config.get_text_config(decoder=True)
        if cache is None or not cache.unbounded:
            check_context(config, max_tokens)
        check_attention(config)
        self._model = model
        self.max_tokens = max_tokens
        self.device, self.dtype = model.device, model.dtype
        self.vocabulary = int(config.vocab_size)
        self.cache = cache or KvCache([StaticKvLayer(max_tokens) for _ in range(config.num_hidden_layers)])
        self.hidden = torch.empty(0)
        self._windows = _windows_of(config)
        switch = original_context(config)
        self._history = TokenHistory(switch) if switch is not None and max_tokens > switch else None
        self._head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        self.reset(batch)

    @property
    def length(self) -> int:
        """Slots in use."""
        return self._rows.length

    def reset(self, batch: int = 1) -> None:
        """Forget the sequences."""
        self.batch = batch
        self._rows = Rows(batch, self.max_tokens, self.device)
        self.cache.reset()
        if self._history is not None:
            self._history.reset(batch, self.device)

    @torch.inference_mode()
    def forward(self, tokens: Tensor, *, real: Tensor | None = None, tree: Tree | None = None, last: bool = False) -> Tensor:
        """Append tokens [B, n] and predict: logits [B, n, V], or [B, 1, V] with `last`.

        Raises:
            RequestError: as of `Decoder.forward`, or a tree where the rotary frequencies change.
        """
        depth = tokens.shape[1] if tree is None else int(tree.depths.max()) + 1
        if self._history is None or not self._history.append(tokens, real, depth):
            return self._append(tokens, real, tree, last)
        if tree is not None:
            raise RequestError("the rotary frequencies of this model change at this length, where trees cannot be verified: request fewer tokens")
        return self._again(self._history, tokens.shape[1], last)

    def _again(self, history: TokenHistory, count: int, last: bool) -> Tensor:
        """Compute all keys by the frequencies that hold now; logits of the last `count` tokens, or of the last one."""
        prompted = self.cache.prompted
        self._rows = Rows(self.batch, self.max_tokens, self.device)
        self.cache.reset()
        logits = self._append(history.tokens, history.real, None, last)
        self.hidden = self.hidden[:, -count:]
        if prompted:
            self.cache.prefilled()
        return logits[:, -count:]

    def _append(self, tokens: Tensor, real: Tensor | None, tree: Tree | None, last: bool) -> Tensor:
        count = tokens.shape[1]
        placed = self.cache.positions(count)
        positions = self._rows.append(count, real, tree, pads=self.cache.pads)
        arguments: dict[str, object] = {"attention_mask": self._mask(count, tree)}
        if placed is not None:
            positions = placed.to(self.device).expand(self.batch, -1)
        captured: list[Tensor] = []
        hook = self._head.register_forward_pre_hook(lambda _module, inputs: captured.append(inputs[0]))
        try:
            with observed(self._model, self.cache):
                answer = self._model(
                    input_ids=tokens, position_ids=positions, past_key_values=self.cache, use_cache=True, logits_to_keep=1 if last else 0, **arguments
                )
        finally:
            hook.remove()
        self.hidden = captured[0]
        logits: Tensor = answer.logits
        return logits

    @torch.inference_mode()
    def keep(self, counts: Sequence[int], of: int) -> None:
        """Of the last `of` slots row b keeps its first `counts[b]`."""
        self.cache.forget(self._rows.keep(counts, of, pads=self.cache.pads))
        if self._history is not None:
            self._history.keep(torch.tensor(counts), of)

    @torch.inference_mode()
    def select(self, slots: Tensor) -> None:
        """Of the nodes of the last tree keep those at `slots`."""
        of = self._rows.select(slots)
        self.cache.select(slots, of)
        if self._history is not None:
            self._history.select(slots, of)

    def _mask(self, count: int, tree: Tree | None) -> Tensor | dict[str, Tensor] | None:
        """What transformers makes its mask of: None, or bool [B, slots].

        It counts windows by slots and knows no trees: there the whole masks [B or 1, 1, n, slots] are made here, by the kind of a block's attention
        where blocks differ.
        """
        narrowed = None if tree is not None or count == 1 else self.cache.looked_at(count)
        if narrowed is not None:
            return self._floats(narrowed.to(self.device)[None])
        if tree is None and (self._rows.plain or not self._windows):
            return self._rows.real_slots()
        if not self._windows:
            return self._whole(count, tree, None)
        if None in self._windows:
            return self._whole(count, tree, self._windows[None])
        return {str(kind): self._whole(count, tree, window) for kind, window in self._windows.items()}

    def _whole(self, count: int, tree: Tree | None, window: int | None) -> Tensor:
        return self._floats(self._rows.looked_at(count, tree, window))[..., -(self.cache.held + count) :]

    def _floats(self, looked_at: Tensor) -> Tensor:
        """Bool [B or 1, n, slots] as a mask that is added, [B or 1, 1, n, slots]."""
        mask = torch.zeros(looked_at.shape, dtype=self.dtype, device=self.device)
        return mask.masked_fill_(~looked_at, torch.finfo(self.dtype).min)[:, None]


def _windows_of(config: Any) -> dict[str | None, int | None]:
    """Tokens that blocks look back, by the kind of their attention; under None where all blocks are alike, and nothing without a window."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if not window or (kinds and "sliding_attention" not in kinds) or getattr(config, "use_sliding_window", True) is False:
        return {}
    return {"full_attention": None, "sliding_attention": int(window)} if kinds else {None: int(window)}


def check_context(config: Any, max_tokens: int) -> None:
    """Raises RequestError when the model has fewer positions."""
    context = getattr(config, "max_position_embeddings", None)
    if context and max_tokens > context:
        raise RequestError(f"{max_tokens} tokens exceed the model's context of {context}: request fewer")


def check_attention(config: Any) -> None:
    """Raises RequestError for a family whose past is more than keys and values."""
    kinds = set(getattr(config, "layer_types", None) or ())
    odd = sorted(kinds - {"full_attention", "sliding_attention"})
    if odd:
        raise RequestError(f"the model has blocks of kind {odd[0]}, which have no KV cache: use transformers' generate")
