"""The `quantization_config` of compressed-tensors for linears that all share one scheme, whatever it is."""

from __future__ import annotations

FOLLOWS = "0.20.0"
"""Version of the package compressed-tensors whose names and layouts are written."""


def one_group(scheme: str, weights: dict[str, object], inputs: dict[str, object] | None, ignore: list[str], *, dequantize: bool) -> dict[str, object]:
    """The configuration.

    Args:
        scheme: for example `pack-quantized`.
        weights: arguments of the weights' quantization.
        inputs: arguments of the inputs' rounding, None where they are left alone.
        ignore: full names of linears that stay in full precision.
        dequantize: have transformers unpack the weights while it loads.
    """
    group = {"targets": ["Linear"], "format": scheme, "weights": weights, "input_activations": inputs, "output_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": scheme,
        "version": FOLLOWS,
        "quantization_status": "compressed",
        "global_compression_ratio": None,
        "kv_cache_scheme": None,
        "ignore": ignore,
        **({"dequantize": True} if dequantize else {}),
        "config_groups": {"group_0": group},
    }
