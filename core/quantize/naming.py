"""What a checkpoint is called."""

from __future__ import annotations

from core.models.source import ModelSource
from core.quantize.methods import METHODS
from core.quantize.spec import QuantizeSpec


def scheme_name(spec: QuantizeSpec) -> str:
    """Method and grid in short, for example `gptq-w4-g128`."""
    return "-".join([spec.method, *METHODS[spec.method].name_parts(spec.request)])


def checkpoint_folder(source: ModelSource, spec: QuantizeSpec) -> str:
    """Name of the folder that a run writes when none was asked for, for example `base-gptq-w4-g128`."""
    return f"{source.folder_name}-{scheme_name(spec)}"
