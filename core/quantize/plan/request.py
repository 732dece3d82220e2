"""What a method looks at of a request: plain data, so that methods can be described below the spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Granularity = Literal["group", "channel", "tensor", "block"]
Clipping = Literal["absmax", "mse"]
Inputs = Literal["dynamic", "static"]
Float8 = Literal["e4m3", "e5m2"]


@dataclass(frozen=True)
class Request:
    """The fields of `QuantizeSpec` that methods, names and estimates depend on; the spec says what each means."""

    bits: int
    granularity: Granularity
    group_size: int
    symmetric: bool
    clipping: Clipping
    act_order: bool
    static_groups: bool
    alpha: float | None
    activation_bits: Literal[8, 16]
    activation_scales: Inputs
    fp8_format: Float8
    double_quant: bool
    codebooks: int | None
    codebook_bits: int | None
    codebook_vector: int | None
    codebook_rows: int | None
    train_steps: int
    budget: float | None
    max_kl: float | None
    widths: tuple[int, ...]
    level: str
    imatrix: bool
    calibration_length: int
    format: str
