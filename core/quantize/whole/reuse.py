"""Sensitivities that an earlier run measured under the very same conditions: a second budget need not measure again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from pydantic import ValidationError
from torch import Tensor

from core.models.stream.streaming import StreamedModel
from core.quantize.result import MixedFigures
from core.quantize.spec import QuantizeSpec
from core.quantize.whole.sensitivity import Sensitivity
from core.runs.identity import identity_of
from core.runs.state import store
from core.runs.state.saved import versions

_GRID = ("granularity", "group_size", "symmetric", "clipping", "damp")


def conditions(streamed: StreamedModel, spec: QuantizeSpec, windows: Tensor) -> str:
    """A hash of all that sensitivities depend on but the widths: files of the model, text, grid, arithmetic, versions."""
    grid = {name: getattr(spec, name) for name in _GRID}
    found = identity_of(grid, streamed.folder, windows, streamed.dtype, str(streamed.device), versions())
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def measured_before(key: str, widths: Iterable[int]) -> tuple[str, tuple[Sensitivity, ...]] | None:
    """What a finished run measured under these conditions, and its id; None when there is none that has all the widths.

    Args:
        key: of `conditions`.
        widths: that are needed; others that the run measured are left out.
    """
    wanted = set(widths)
    for run in store.list_runs():
        if run.capability != "quantize" or run.values.get("method") != "mixed":
            continue
        try:
            figures = MixedFigures.model_validate((run.result or {}).get("mixed"))
        except ValidationError:
            continue
        if figures.conditions == key and wanted <= {one.bits for one in figures.sensitivities}:
            return run.id, tuple(Sensitivity(**one.model_dump()) for one in figures.sensitivities if one.bits in wanted)
    return None
