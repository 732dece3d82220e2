"""What calibration learns about one input: the second moments of its features, summed over all tokens."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar, cast

import torch
from torch import Tensor

from core.errors import RunFailed
from core.numerics.products import product_nt

T = TypeVar("T")


class InputStatistics:
    """Running H = (2/N) Σ x xᵀ of an input that one or several linears share."""

    def __init__(self, features: int, device: torch.device | str = "cpu") -> None:
        self._sum = torch.zeros(features, features, device=device)
        self._scaled = False
        self._derived: dict[Hashable, object] = {}
        self.tokens = 0

    def add(self, inputs: Tensor) -> None:
        """Take in rows of features: any float [..., features], summed in float32."""
        if self._scaled:
            raise ValueError("the statistics have been read: no more inputs can be added")
        features = inputs.detach().reshape(-1, inputs.shape[-1]).t().to(torch.float32).contiguous()
        self._sum += product_nt(features, features)
        self.tokens += features.shape[1]

    @property
    def hessian(self) -> Tensor:
        """float32 [features, features]; after the first reading no more inputs are taken.

        Raises:
            RunFailed: no input was ever seen.
        """
        if not self.tokens:
            raise RunFailed("this linear was never reached by the calibration text: calibrate on more of it, or use rtn")
        if not self._scaled:
            self._sum *= 2 / self.tokens
            self._scaled = True
        return self._sum

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What a method derives from the statistics, for example a factor: made on the first call, then kept."""
        if key not in self._derived:
            self._derived[key] = make()
        return cast("T", self._derived[key])
