"""The dynamic cache: grows with the text, in strides, so that a step seldom copies."""

from __future__ import annotations

from torch import Tensor

from core.runtime.caches.static import StaticKvLayer

_STRIDE = 256


class DynamicKvLayer(StaticKvLayer):
    """A static layer whose buffers are replaced by longer ones when they are full; `nbytes` counts the tokens that are held.

    Growing by a stride instead of by a token is what transformers' cache, which concatenates at every step, does not do.
    """

    def __init__(self) -> None:
        super().__init__(0)

    @property
    def nbytes(self) -> int:
        """Of the tokens held; the rest of the last stride is `reserved`."""
        if self.keys is None or self.values is None:
            return 0
        return (self.keys[:, :, 0].nbytes + self.values[:, :, 0].nbytes) * self.seen

    @property
    def reserved(self) -> int:
        """Bytes of the buffers as they are allocated."""
        return super().nbytes

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write in place, after growing where that is needed."""
        if self.seen + keys.shape[2] > self.max_tokens:
            self.max_tokens = -(-(self.seen + keys.shape[2]) // _STRIDE) * _STRIDE
            if self.keys is not None and self.values is not None and self.keys.shape[0] == keys.shape[0]:
                self.keys, self.values = self._longer(self.keys), self._longer(self.values)
            else:
                self.keys = self.values = None
        return super().append(keys, values)

    def get_max_length(self) -> int:
        """No limit."""
        return -1

    def _longer(self, buffer: Tensor) -> Tensor:
        longer = buffer.new_zeros((*buffer.shape[:2], self.max_tokens, buffer.shape[3]))
        longer[:, :, : self.seen] = buffer[:, :, : self.seen]
        return longer
