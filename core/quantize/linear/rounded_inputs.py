"""W8A8: say with an integer weight how the inputs of its linear are rounded at run time."""

from __future__ import annotations

from dataclasses import replace

from core.calibration.statistics import InputStatistics
from core.errors import RunFailed
from core.numerics.activations import ActivationQuantizer, static_scale
from core.numerics.tensor import QuantizedTensor


def with_rounded_inputs(tensor: QuantizedTensor, statistics: InputStatistics | None, *, static: bool) -> QuantizedTensor:
    """The same weight whose linear rounds its inputs to int8.

    Args:
        tensor: the weight.
        statistics: of the inputs; looked at only when `static`.
        static: one scale from calibration, the largest magnitude that was seen; otherwise one a token, found at run time.

    Raises:
        RunFailed: a scale is to come from calibration and no calibration text reached the linear.
    """
    if not static:
        return replace(tensor, activations=ActivationQuantizer("int8"))
    if statistics is None or not statistics.tokens:
        raise RunFailed(
            "the calibration text never reached it, so its inputs have no range: choose activation-scales dynamic, or calibrate on more text"
        )
    return replace(tensor, activations=ActivationQuantizer("int8", static_scale(float(statistics.absmax.max()))))
