"""What can be done to a model's weights: one object per method, and the list of them in the order in which they are shown.

May import `plan`, and shared rooms without tensors. Never the spec, which is made from the list, and never a solver, which a method names.
"""

from __future__ import annotations

from core.quantize.methods.additive import ADDITIVE
from core.quantize.methods.awq import AWQ
from core.quantize.methods.base import Method
from core.quantize.methods.fp8 import FP8
from core.quantize.methods.gguf import GGUF
from core.quantize.methods.gptq import GPTQ
from core.quantize.methods.int8 import INT8
from core.quantize.methods.mixed import MIXED
from core.quantize.methods.nf4 import NF4
from core.quantize.methods.qat import QAT
from core.quantize.methods.rtn import RTN
from core.quantize.methods.smoothquant import SMOOTHQUANT

METHODS: dict[str, Method] = {method.name: method for method in (RTN, GPTQ, AWQ, SMOOTHQUANT, FP8, NF4, INT8, ADDITIVE, QAT, MIXED, GGUF)}


def using(field: str) -> tuple[str, ...]:
    """The methods to which a field of the spec means something."""
    return tuple(method.name for method in METHODS.values() if field in method.fields)
