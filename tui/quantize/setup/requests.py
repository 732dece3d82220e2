"""What is asked for when a start key is pressed. Pure."""

from __future__ import annotations

from core.quantize.compare.spec import QuantizeCompareSpec, VariantSet
from core.quantize.spec import QuantizeSpec
from core.spec import Spec


def comparison_of(spec: QuantizeSpec, which: VariantSet = "integers") -> Spec:
    """The comparison on the model, texts and samples of a request. Raises RequestError when it cannot be made of them."""
    shared = {name: value for name, value in spec.model_dump().items() if name in QuantizeCompareSpec.model_fields}
    return QuantizeCompareSpec.parse(shared | {"set": which})


def parts(spec: Spec) -> list[QuantizeSpec]:
    """The single quantizations that a request amounts to: each must fit the model."""
    if isinstance(spec, QuantizeCompareSpec):
        return [spec.of(variant) for variant in spec.variants]
    return [spec] if isinstance(spec, QuantizeSpec) else []
