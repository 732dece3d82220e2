"""StreamingLLM (arXiv 2309.17453): the first tokens, which attention sinks into, and a window of the last ones.

Positions are those inside the cache, so that a text may be longer than any the model was trained on: the window's keys are kept without
their rotation and rotated at each step by the place where they then stand. The sinks never move and keep theirs.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from core.errors import RequestError
from core.kvcache.storage.build import LayerContext
from core.kvcache.storage.ring import Ring, within
from core.kvcache.storage.rotary import rotations, turn, turn_back
from core.kvcache.storage.stored import StoredLayer
from core.paging.slots import Slots


class StreamingLayer(StoredLayer):
    """Sinks [2, B, kv heads, sinks, d] and a ring of the other `budget - sinks` tokens, the query's own among them."""

    unbounded: ClassVar[bool] = True

    def __init__(self, context: LayerContext) -> None:
        super().__init__()
        if context.inverse_frequencies is None:
            raise RequestError("streaming rotates keys by their place in the cache, and this model has no rotary positions that all its blocks share")
        self.sinks, self.window = context.settings.sinks, context.settings.budget - context.settings.sinks
        self.chunk = max(self.window // 4, 1)  # within a chunk, tokens stand further from the sinks than they would one by one
        self._frequencies, self._scratch = context.inverse_frequencies, context.scratch
        self._first, self._ring = self.stores = Slots(max(self.sinks, 1)), Ring(self.window)

    @property
    def held(self) -> int:
        """Sinks and window less the place of the next query."""
        return min(self.seen, self.sinks + self.window - 1)

    def positions(self, count: int) -> Tensor:
        """Places behind what is held."""
        return torch.arange(self.held, self.held + count)

    def looked_at(self, count: int) -> Tensor | None:
        """The sinks, and the window before each token."""
        return within(self.held, count, self.window, self.sinks)

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys rotated by the places that `positions` gave their tokens."""
        states, held = torch.stack((keys, values)), self.held
        self.seen += keys.shape[2]
        if keys.shape[2] == 1 and self._first.count == self.sinks:
            return self._append_one(states, held)
        return self._append_many(states, held)

    def _append_one(self, states: Tensor, held: int) -> tuple[Tensor, Tensor]:
        """One token into the window, over its oldest; slots stay where they are, only their rotations change."""
        table = self._places(self.sinks + self.window, states.dtype)
        key = states[0].clone()
        states[0] = turn_back(key, table[:, held : held + 1])
        self._ring.push(states)
        recent = self._ring.rows
        everything = self._scratch.take((*states.shape[:3], self.sinks + self._ring.count, states.shape[4]), states)
        if self.sinks:
            everything.narrow(-2, 0, self.sinks).copy_(self._first.rows)
        around = self._around(states.dtype).narrow(1, self.window - self._ring.start, self._ring.count)
        turn(recent[0], around, everything[0].narrow(-2, self.sinks, self._ring.count))
        everything[1].narrow(-2, self.sinks, self._ring.count).copy_(recent[1])
        return everything[0], everything[1]

    def _append_many(self, states: Tensor, held: int) -> tuple[Tensor, Tensor]:
        """Several tokens, or a sink: all in the order of the text."""
        count, first = states.shape[3], self._first.count
        everything = self._scratch.take((*states.shape[:3], held + count, states.shape[4]), states)
        table = self._places(held + count, states.dtype)
        if first:
            everything.narrow(-2, 0, first).copy_(self._first.rows)
        if held > first:
            recent = self._ring.ordered().narrow(-2, self._ring.count - (held - first), held - first)
            turn(recent[0], table[:, first:held], everything[0].narrow(-2, first, held - first))
            everything[1].narrow(-2, first, held - first).copy_(recent[1])
        everything.narrow(-2, held, count).copy_(states)
        sinks = min(self.sinks - first, count)
        if sinks:
            self._first.append(states.narrow(-2, 0, sinks))
        if count > sinks:
            rest = states.narrow(-2, sinks, count - sinks)
            rest[0] = turn_back(rest[0].clone(), table[:, held + sinks : held + count])
            self._ring.extend(rest)
        return everything[0], everything[1]

    def _places(self, count: int, dtype: torch.dtype) -> Tensor:
        """Rotations [2, >= count, r] of the places from 0 on."""
        usual = self.sinks + self.window
        if count > usual:
            return rotations(self._frequencies, count, dtype)
        return self._scratch.constant("places", lambda: rotations(self._frequencies, usual, dtype))

    def _around(self, dtype: torch.dtype) -> Tensor:
        """Rotations of the window's places twice in a row: those of a ring that starts at slot s begin at `window - s`."""

        def twice() -> Tensor:
            window = self._places(self.sinks + self.window, dtype)[:, self.sinks :]
            return torch.cat((window, window), dim=1)

        return self._scratch.constant("around", twice)
