"""`quant_method: fp8`: 8-bit floats as DeepSeek-V3, transformers and the older vLLM tools store them.

`weight` float8_e4m3fn with `weight_scale_inv`, which despite its name multiplies the codes: float32 for blocks of 128 x 128 (arXiv
2412.19437, section 3.3), or one number. Where inputs have a fixed scale it is `activation_scale`; older tools wrote one
`weight_scale` and one `input_scale` a linear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, cast

from torch import Tensor

from core.errors import RequestError
from core.formats.layouts.compressed_tensors.floats import fp8_codes, scale_shapes, stored_input_scale, stored_scales
from core.numerics.activations import ActivationQuantizer
from core.numerics.fp8.codec import E4M3
from core.numerics.fp8.tensor import BLOCK, Float8Tensor, Fp8Granularity, GroupedInputs
from core.numerics.stored import StoredWeight
from core.sanitize import clean

_MARKS = (".weight_scale_inv", ".weight_scale")
_INPUT_SCALES = ("activation_scale", "input_scale")


@dataclass(frozen=True)
class FineGrainedFp8:
    """One scheme for all quantized linears of a checkpoint."""

    granularity: Fp8Granularity = "block"
    """`block` or `tensor`."""
    static_inputs: bool = False

    name: ClassVar[str] = "fp8"

    @property
    def scheme(self) -> str:
        """`fp8 block` or `fp8 tensor`."""
        return f"fp8 {self.granularity}"

    def can_compress(self, weight: StoredWeight) -> bool:
        """Whether the format can hold this weight."""
        if not isinstance(weight, Float8Tensor) or weight.activations is None:
            return False
        static = weight.activations.scale is not None
        return weight.format is E4M3 and weight.granularity == self.granularity and static == self.static_inputs

    def compress(self, name: str, weight: StoredWeight) -> dict[str, Tensor]:
        """Tensors to store for the linear `name`; errors as of `Format`."""
        if not self.can_compress(weight):
            raise ValueError(f"{name} does not fit the scheme {self}")
        stored = cast("Float8Tensor", weight)
        scales = stored.scales.float()
        tensors = {f"{name}.weight": stored.codes, f"{name}.weight_scale_inv": scales if self.granularity == "block" else scales.reshape(())}
        if stored.activations is not None and stored.activations.scale is not None:
            tensors[f"{name}.activation_scale"] = stored.activations.scale.float().reshape(())
        return tensors

    def decompress(self, name: str, tensors: Mapping[str, Tensor]) -> Float8Tensor:
        """Undo `compress`; errors as of `Format`."""
        codes = fp8_codes(name, tensors)
        mark = next((mark for mark in _MARKS if f"{name}{mark}" in tensors), _MARKS[0])
        scales = stored_scales(f"{name}{mark}", tensors, scale_shapes(codes, self.granularity))
        inputs: ActivationQuantizer = GroupedInputs("fp8-e4m3") if self.granularity == "block" else ActivationQuantizer("fp8-e4m3")
        if self.static_inputs:
            stored = next((part for part in _INPUT_SCALES if f"{name}.{part}" in tensors), _INPUT_SCALES[0])
            inputs = ActivationQuantizer("fp8-e4m3", stored_input_scale(f"{name}.{stored}", tensors))
        return Float8Tensor(codes, scales, self.granularity, E4M3, inputs)

    def config(self, ignore: list[str], *, dequantize: bool = False) -> dict[str, object]:
        """The `quantization_config` of config.json; arguments as of `Format`."""
        return {
            "quant_method": "fp8",
            "fmt": "e4m3",
            "activation_scheme": "static" if self.static_inputs else "dynamic",
            "weight_block_size": [BLOCK, BLOCK] if self.granularity == "block" else None,
            "modules_to_not_convert": ignore,
            **({"dequantize": True} if dequantize else {}),
        }

    def linear_of(self, tensor: str) -> str | None:
        """The linear (without `.weight`) that a stored tensor of this name marks as quantized; None for any other tensor."""
        return next((tensor.removesuffix(mark) for mark in _MARKS if tensor.endswith(mark)), None)

    def parts(self, name: str) -> tuple[str, ...]:
        """Names of all tensors that the linear `name` may consist of."""
        return tuple(f"{name}.{part}" for part in ("weight", "weight_scale_inv", "weight_scale", *_INPUT_SCALES))

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Self:
        """The scheme that a `quantization_config` describes. Raises RequestError: another float than E4M3, or other blocks than of 128 x 128."""
        block, activations = config.get("weight_block_size"), config.get("activation_scheme", "dynamic")
        if config.get("fmt", "e4m3") not in ("e4m3", "float8_e4m3fn"):
            raise RequestError(f"8-bit floats of the kind {clean(str(config.get('fmt')), limit=40)!r} cannot be read: known is e4m3")
        if block is not None and block != [BLOCK, BLOCK]:
            raise RequestError(f"blocks of {clean(str(block), limit=40)} cannot be read: known are blocks of [128, 128]")
        if activations not in ("dynamic", "static"):
            raise RequestError(f"the activation_scheme {clean(str(activations), limit=40)!r} cannot be read: known are dynamic and static")
        if block is not None and activations == "static":
            raise RequestError(
                "blocks of 8-bit floats with a static activation_scheme cannot be read: engines round the inputs of blocks at run time"
            )
        return cls("tensor" if block is None else "block", activations == "static")
