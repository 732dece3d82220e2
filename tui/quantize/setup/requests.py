"""What is asked for when a start key is pressed. Pure."""

from __future__ import annotations

from core.quantize.compare.spec import QuantizeCompareSpec, VariantSet
from core.quantize.spec import QuantizeSpec
from core.spec import Spec


def comparison_of(spec: QuantizeSpec, which: VariantSet = "integers") -> Spec:
    """The comparison on the model, texts and samples of a request. Raises RequestError when it cannot be made of them."""
    shared = {name: value for name, value in spec.model_dump().items() if name in QuantizeCompareSpec.model_fields}
    return QuantizeCompareSpec.parse(shared | {"set": which})
