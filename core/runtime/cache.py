"""What a KV cache is to the decode loop, and to any transformers causal LM as `past_key_values`.

A scheme (dynamic, quantized, paged, evicting ...) is one subclass of `KvLayer`; a `KvCache` holds one layer for each decoder block.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from core.errors import RequestError


class KvLayer(CacheLayerMixin, ABC):
    """One decoder block's part of a cache. Keys arrive after the rotary positions.

    The logical length (`seen`) is kept apart from the physical one (`held`): a scheme may throw tokens away.
    """

    is_compileable = False
    is_sliding = False
    is_croppable = False
    """Whether `forget` works."""
    supports_early_init = False
    observes: ClassVar[bool] = False
    """Whether `observe` is to be called after each attention."""
    pads: ClassVar[bool] = False
    """Whether rows of a batch may have holes: every slot stays where it was put, so that a mask over slots continues being true."""

    unbounded: ClassVar[bool] = False
    """Whether a text may be longer than the model's context: positions are those inside the cache, which holds fewer tokens."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)  # type: ignore[no-untyped-call]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.is_initialized = True
        self.seen = 0
        """Tokens that were appended and not forgotten."""
        self.chunk: int | None = None
        """Tokens that a prompt had better be appended by at most; None: any number."""

    @property
    def held(self) -> int:
        """Slots that the next query looks at besides its own: all tokens, unless the scheme drops some."""
        return self.seen

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of the tensors that live from one step to the next: codes, scales, zero points, indices; a buffer of fixed size counts whole."""

    @abstractmethod
    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Take n new tokens; what their queries attend to.

        Args:
            keys: [B, kv heads, n, d], rotated.
            values: [B, kv heads, n, d].

        Returns:
            Keys and values [B, kv heads, held before + n, d] in the dtype of the new ones, which stand last. They may be views that are
            written over by the next call.
        """

    @abstractmethod
    def reset(self) -> None:
        """Forget everything; memory may stay."""

    def observe(self, query: Tensor, keys: Tensor, scaling: float) -> None:
        """See the queries [B, heads, n, d] whose attention over `keys`, as `append` returned them, was just computed; evict here."""

    def looked_at(self, count: int) -> Tensor | None:
        """What each of the next `count` tokens may look at, bool [count, held + count], where the scheme narrows it.

        None: everything before it, and itself.
        """
        del count
        return None

    def prefilled(self) -> None:
        """The prompt is complete."""

    def forget(self, count: int) -> None:
        """Drop the last `count` tokens, as if they had never been appended. Raises RequestError: the scheme cannot."""
        if count:
            raise RequestError(
                f"the cache scheme {type(self).__name__} does not support rollback, which speculative decoding needs: use another scheme"
            )

    def select(self, slots: Tensor, of: int) -> None:
        """Of the `of` tokens that were appended last keep those at `slots`, int64 [k] ascending, and forget the others.

        Raises:
            RequestError: the scheme cannot.
        """
        if not torch.equal(slots.cpu(), torch.arange(len(slots))):
            raise RequestError(f"the cache scheme {type(self).__name__} cannot keep a branch of a tree: use the static or the dynamic cache")
        self.forget(of - len(slots))

    def positions(self, count: int) -> Tensor | None:
        """Rotary positions int64 [count] of the next tokens where the scheme sets them; None: as many as were seen, counting on."""
        del count
        return None

    # -- transformers' side

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing: layers are made ready when they are constructed."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """`append`, under the name that transformers' models call."""
        del args, kwargs
        return self.append(key_states, value_states)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length of what is attended to, and the number that its first slot counts as: what was evicted is taken from the beginning."""
        return self.held + query_length, self.seen - self.held

    def get_seq_length(self) -> int:
        """Tokens seen."""
        return self.seen

    def get_max_length(self) -> int:
        """No limit."""
        return -1

    def crop(self, tokens_to_remove: int) -> None:
        """`forget`, with the sign that transformers gives the number."""
        self.forget(abs(tokens_to_remove))


class KvCache(Cache):
    """Layers in the order of the model's blocks; goes to a transformers model as `past_key_values`."""

    layers: list[KvLayer]  # type: ignore[assignment]

    def __init__(self, layers: Sequence[KvLayer]) -> None:
        super().__init__(layers=list(layers))
        self.prompted = False
        """Whether the prompt is complete."""

    def reset(self) -> None:
        """Forget everything."""
        self.prompted = False
        for layer in self.layers:
            layer.reset()

    @property
    def seen(self) -> int:
        """Tokens of the sequence."""
        return max(layer.seen for layer in self.layers)

    @property
    def held(self) -> int:
        """Slots of the fullest layer."""
        return max(layer.held for layer in self.layers)

    @property
    def nbytes(self) -> int:
        """Bytes of all layers."""
        return sum(layer.nbytes for layer in self.layers)

    @property
    def observes(self) -> bool:
        """Whether any layer wants to see the queries."""
        return any(layer.observes for layer in self.layers)

    @property
    def pads(self) -> bool:
        """Whether rows of a batch may have holes."""
        return all(layer.pads for layer in self.layers)

    @property
    def unbounded(self) -> bool:
        """Whether a text may be longer than the model's context."""
        return all(layer.unbounded for layer in self.layers)

    @property
    def chunk(self) -> int | None:
        """Tokens that a prompt had better be appended by at most."""
        return min((layer.chunk for layer in self.layers if layer.chunk is not None), default=None)

    def positions(self, count: int) -> Tensor | None:
        """Rotary positions of the next tokens where the scheme sets them."""
        return self.layers[0].positions(count)

    def looked_at(self, count: int) -> Tensor | None:
        """What each of the next tokens may look at where the scheme narrows it: the same in all layers."""
        return self.layers[0].looked_at(count)

    def prefilled(self) -> None:
        """The prompt is complete."""
        self.prompted = True
        for layer in self.layers:
            layer.prefilled()

    def forget(self, count: int) -> None:
        """Drop the last `count` tokens. Raises RequestError where the scheme cannot."""
        for layer in self.layers:
            layer.forget(count)

    def select(self, slots: Tensor, of: int) -> None:
        """Of the `of` tokens appended last keep those at `slots`. Raises RequestError where the scheme cannot."""
        for layer in self.layers:
            layer.select(slots, of)
