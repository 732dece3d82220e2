"""What each method is, what it fills in when a field was not given, and what goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

INTEGER_WIDTHS = (2, 3, 4, 5, 6, 7, 8)
MIXED_BUDGET = 4.25
"""Bits a weight, scales counted, when neither a budget nor a divergence is given."""


@dataclass(frozen=True)
class MethodFacts:
    """One method, as the form, the command line and the validators need to know it."""

    summary: str
    """A few words for a person who chooses."""
    bits: tuple[int, ...] = INTEGER_WIDTHS
    granularities: tuple[str, ...] = ("group", "channel", "tensor")
    formats: tuple[str, ...] = ("compressed-tensors",)
    """Checkpoint formats that can hold the result; the first is the default."""
    activation_bits: tuple[int, ...] = (16,)
    asymmetric: bool = True
    """Whether grids with zero points make sense."""
    calibrated: bool = True
    """Whether it looks at calibration text; `gguf` and `fp8` do when asked to."""
    fallback: bool = True
    """Whether a linear that calibration text never reached is rounded to nearest on the same grid, with a note; else the method gets no
    statistics and must do without."""
    moves_scales: bool = False
    """Whether it moves scales into norms, which takes a family whose norms are known (`core.calibration.norm_groups`)."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of fields that were not given, where they differ from the spec's own defaults."""


NF4_BLOCKS = (64, 128, 256, 512, 1024, 2048, 4096)
INTEGER_FORMATS = ("compressed-tensors", "gptq", "awq")

FACTS: dict[str, MethodFacts] = {
    "rtn": MethodFacts("rounds to nearest; needs no data", formats=INTEGER_FORMATS, activation_bits=(16, 8), calibrated=False),
    "gptq": MethodFacts("corrects each rounding by second-order information", formats=INTEGER_FORMATS, activation_bits=(16, 8)),
    "awq": MethodFacts(
        "scales up the channels that large activations meet, then rounds",
        granularities=("group", "channel"),
        formats=("awq", "compressed-tensors", "gptq"),
        moves_scales=True,
        defaults={"symmetric": False},
    ),
    "smoothquant": MethodFacts(
        "moves outliers from activations to weights: 8-bit weights and activations",
        bits=(8,),
        granularities=("channel",),
        moves_scales=True,
        activation_bits=(8,),
        asymmetric=False,
        defaults={"bits": 8, "granularity": "channel", "activation_bits": 8},
    ),
    "fp8": MethodFacts(
        "8-bit floats for weights, and for activations if wanted",
        bits=(8,),
        granularities=("channel", "tensor", "block"),
        activation_bits=(16, 8),
        asymmetric=False,
        calibrated=False,
        fallback=False,
        defaults={"bits": 8, "granularity": "channel"},
    ),
    "nf4": MethodFacts(
        "4-bit codes spaced like a normal distribution, by blocks (QLoRA)",
        bits=(4,),
        granularities=("block",),
        formats=("bitsandbytes",),
        asymmetric=False,
        calibrated=False,
        defaults={"bits": 4, "granularity": "block", "group_size": 64},
    ),
    "int8": MethodFacts(
        "LLM.int8(): 8-bit rows, outlier activations in 16 bits",
        bits=(8,),
        granularities=("channel",),
        formats=("bitsandbytes",),
        activation_bits=(8,),
        asymmetric=False,
        calibrated=False,
        defaults={"bits": 8, "granularity": "channel", "activation_bits": 8},
    ),
    "additive": MethodFacts(
        "sums of codebook vectors, about 2 bits (AQLM)",
        bits=(2,),
        granularities=("channel",),
        formats=("aqlm",),
        asymmetric=False,
        fallback=False,
        defaults={"bits": 2, "granularity": "channel"},
    ),
    "qat": MethodFacts(
        "trains through the rounding for a few hundred steps",
        formats=INTEGER_FORMATS,
        # Every step wants text that no step before it saw.
        defaults={"clipping": "mse", "calibration_samples": 1024},
    ),
    "mixed": MethodFacts(
        "measures each linear's sensitivity and gives bits where they matter",
        granularities=("group", "channel"),
        # transformers loads zero points by unpacking all linears as if they had one width.
        asymmetric=False,
    ),
    "gguf": MethodFacts(
        "a GGUF file for llama.cpp and Ollama, plain or K-quants",
        granularities=("block",),
        formats=("gguf",),
        calibrated=False,
        defaults={"granularity": "block"},
    ),
}


def fill(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a request with those of the method put in where none were given."""
    given = {name: value for name, value in values.items() if value is not None or name != "format"}
    facts = FACTS.get(str(given.get("method", "gptq")))
    if facts is None:
        return given
    filled = {**facts.defaults, **given}
    if given.get("activation_scales") == "static" and 8 in facts.activation_bits:
        filled.setdefault("activation_bits", 8)
    if "format" not in filled:
        filled["format"] = next((name for name in facts.formats if refusal(name, filled) is None), facts.formats[0])
    return filled


def refusal(format_: str, values: Mapping[str, Any]) -> str | None:
    """Why a checkpoint format cannot hold what is asked for, and what can; None when it can."""
    bits, granularity = values.get("bits", 4), values.get("granularity", "group")
    rounded_inputs = values.get("activation_bits", 16) == 8
    if format_ == "awq" and (bits != 4 or granularity != "group" or rounded_inputs):
        return "the AWQ format holds 4-bit weights in groups and nothing else: choose format compressed-tensors"
    if format_ == "gptq" and (bits not in (2, 3, 4, 8) or granularity == "tensor" or rounded_inputs):
        return "the GPTQ format holds 2, 3, 4 or 8 bits in groups or channels, with plain activations: choose format compressed-tensors"
    if values.get("method") == "nf4" and values.get("group_size", 64) not in NF4_BLOCKS:
        return f"bitsandbytes knows blocks of {', '.join(map(str, NF4_BLOCKS))} weights: choose one of these as group-size"
    if granularity == "block" and values.get("method") == "fp8" and values.get("group_size", 128) != 128:
        return "blocks of 8-bit floats are squares of 128 x 128 in every engine: leave group-size at 128"
    if granularity == "block" and rounded_inputs and values.get("activation_scales") == "static":
        return "engines find the scales of inputs beside blocks at run time: choose activation-scales dynamic, or granularity channel"
    if format_ == "compressed-tensors" and values.get("fp8_format", "e4m3") == "e5m2" and values.get("method") == "fp8":
        return "compressed-tensors knows 8-bit floats as E4M3 only: choose fp8-format e4m3 (the comparison measures E5M2 beside it)"
    return None
