"""What a checkpoint is called."""

from __future__ import annotations

from core.models.source import ModelSource
from core.prune.methods import METHODS
from core.prune.spec import PruneSpec


def scheme_name(spec: PruneSpec) -> str:
    """Method and amount in short, for example `wanda-2of4`."""
    return "-".join([spec.method, *METHODS[spec.method].name_parts(spec.request)])


def checkpoint_folder(source: ModelSource, spec: PruneSpec) -> str:
    """Name of the folder that a run writes when none was asked for, for example `base-wanda-2of4`."""
    return f"{source.folder_name}-{scheme_name(spec)}"
