"""The settings of methods that remove single weights."""

from __future__ import annotations

from dataclasses import dataclass

from core.prune.weights.pattern import Pattern


@dataclass(frozen=True)
class MaskConfig:
    """What `prune` of every method takes; each looks only at what it needs."""

    pattern: Pattern
    damp: float = 0.01
    """SparseGPT and ALPS: added to the Hessian's diagonal, as a share of its mean."""
    block: int = 128
    """SparseGPT: columns that are chosen from at once."""
    alps_steps: int = 300
    """ALPS: most steps of ADMM; it ends earlier when its choice no longer changes."""
