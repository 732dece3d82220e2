"""What a checkpoint is called. No torch."""

from __future__ import annotations

import re

from core.models.source import ModelSource
from core.quantize.spec import QuantizeSpec


def scheme_name(spec: QuantizeSpec) -> str:
    """Method and grid in short, for example `gptq-w4-g128`."""
    shares = {"group": f"g{spec.group_size}", "channel": "channel", "tensor": "tensor"}[spec.granularity]
    parts = [spec.method, f"w{spec.bits}a8" if spec.activation_bits == 8 else f"w{spec.bits}", shares]
    return "-".join(parts if spec.symmetric else [*parts, "asym"])


def checkpoint_folder(source: ModelSource, spec: QuantizeSpec) -> str:
    """Name of the folder that a run writes when none was asked for, for example `base-gptq-w4-g128`."""
    model = re.sub(r"[^A-Za-z0-9._]+", "-", source.name.removeprefix("bundled:").rstrip("/").rpartition("/")[2]).strip("-.")
    return f"{model[:80] or 'model'}-{scheme_name(spec)}"
