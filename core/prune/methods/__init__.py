"""What can be removed from a model: one object per method, and the list of them in the order in which they are shown.

May import `plan`, and shared rooms without tensors. Never the spec, which is made from the list, and never a solver, which a method names.
"""

from __future__ import annotations

from core.prune.methods.alps import ALPS
from core.prune.methods.base import Method
from core.prune.methods.channels import CHANNELS
from core.prune.methods.heads import HEADS
from core.prune.methods.layers import LAYERS
from core.prune.methods.magnitude import MAGNITUDE
from core.prune.methods.sparsegpt import SPARSEGPT
from core.prune.methods.wanda import WANDA
from core.prune.methods.width import WIDTH

METHODS: dict[str, Method] = {method.name: method for method in (MAGNITUDE, WANDA, SPARSEGPT, ALPS, CHANNELS, HEADS, WIDTH, LAYERS)}
CRITERIA: tuple[str, ...] = tuple(dict.fromkeys(criterion for method in METHODS.values() for criterion in method.criteria))
"""Every score by name."""


def using(field: str) -> tuple[str, ...]:
    """The methods to which a field of the spec means something."""
    return tuple(method.name for method in METHODS.values() if field in method.fields)
