"""SnapKV (arXiv 2404.14469): the prompt is cut down once, to the tokens that its last queries look at; what follows is appended."""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import RequestError
from core.kvcache.storage.attention_mass import attention_mass
from core.kvcache.storage.build import LayerContext
from core.kvcache.storage.choosing import snapkv_keep, take
from core.kvcache.storage.stored import StoredLayer
from core.paging.slots import Slots


class SnapKvLayer(StoredLayer):
    """Keys and values [2, B, kv heads, held, d]; each key head keeps tokens of its own. Positions are those of the text.

    While the prompt is read all of it is held, and in `extra` the queries of its last tokens.
    """

    is_croppable = True

    def __init__(self, context: LayerContext) -> None:
        super().__init__()
        settings = context.settings
        self._budget, self._observed, self._pooling = settings.budget, settings.observed, settings.pooling
        self._states = Slots()
        self.stores = (self._states,)
        self.reset()

    @property
    def held(self) -> int:
        """What was kept of the prompt, and all tokens since."""
        return self._states.count

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Behind what is held."""
        self._states.append(torch.stack((keys, values)))
        self.seen += keys.shape[2]
        rows = self._states.rows
        return rows[0], rows[1]

    def observe(self, query: Tensor, keys: Tensor, scaling: float) -> None:
        """Remember the last queries of the prompt."""
        del keys
        if not self.observes:
            return
        queries = query if self.extra is None else torch.cat((self.extra, query), dim=2)
        self.extra, self._scaling = queries[:, :, -self._observed :].clone(), scaling

    def prefilled(self) -> None:
        """Let the last queries vote and keep what they chose; nothing is dropped of a prompt within the budget."""
        if self.extra is not None and self.held > self._budget:
            states = self._states.buffer
            votes = attention_mass(self.extra, self._states.rows[0], self._scaling)
            self._states.replace(take(states, snapkv_keep(votes, self._budget, self.extra.shape[2], self._pooling)))
        self.extra, self._prompted = None, self.seen
        self.observes = False  # type: ignore[misc]

    def forget(self, count: int) -> None:
        """Drop tokens that came after the prompt. Raises RequestError: some of them belong to the prompt."""
        self._check_after_prompt(count)
        self.seen -= count
        self._states.forget(count)

    def select(self, slots: Tensor, of: int) -> None:
        """Of the last `of` tokens keep some. Raises RequestError where they belong to the prompt."""
        self._check_after_prompt(of)
        self.seen += len(slots) - of
        self._states.select(slots, of)

    def _check_after_prompt(self, count: int) -> None:
        if count > self.seen - self._prompted:
            raise RequestError(
                f"snapkv cannot roll back {count} tokens: only {self.seen - self._prompted} came after the prompt, which it has cut down"
            )

    def reset(self) -> None:
        """Count from zero; the memory of keys and values stays."""
        super().reset()
        self.observes = True  # type: ignore[misc]
        self.extra = None
        self._scaling, self._prompted = 1.0, 0
