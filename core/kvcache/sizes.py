"""Bytes that a scheme holds, by formula: one small function a scheme, to stand beside what is measured. No torch.

Each takes the geometry, the settings, the tokens appended so far and the sequences, and counts what lives between two steps: codes, scales, zero
points and indices; buffers of fixed size count whole (`settings.capacity`, as many slots as tokens when it is not given).
"""

from __future__ import annotations

from core.kvcache.geometry import Geometry
from core.kvcache.settings import SchemeSettings


def slots(settings: SchemeSettings, tokens: int) -> int:
    """Slots of a buffer that is allocated in advance."""
    return tokens if settings.capacity is None else settings.capacity


def dynamic(geometry: Geometry, _settings: SchemeSettings, tokens: int, batch: int) -> int:
    """Keys and values as the model computes them, as many as there are tokens."""
    return batch * geometry.layers * tokens * 2 * geometry.row_bytes


def static(geometry: Geometry, settings: SchemeSettings, tokens: int, batch: int) -> int:
    """Keys and values as the model computes them, for every slot of the buffer."""
    return dynamic(geometry, settings, slots(settings, tokens), batch)
