"""What calibration learns about one input: second moments and ranges of its features, over all tokens."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import RLock
from typing import TypeVar, cast

import torch
from torch import Tensor

from core.errors import RunFailed
from core.numerics.products import add_gram_, mirror_lower_

T = TypeVar("T")


class InputStatistics:
    """Running H = (2/N) Σ x xᵀ, largest |x| and mean |x| of an input that one or several linears share.

    Args:
        features: width of the input.
        device: where the sums are kept.
        moments: False leaves out H, which takes most of the time, for methods that look at ranges only.
        keep_rows: the first inputs themselves that are kept, for errors of outputs without H.
    """

    def __init__(self, features: int, device: torch.device | str = "cpu", *, moments: bool = True, keep_rows: int = 0) -> None:
        self._keep_rows, self._rows, self._n_rows = keep_rows, list[Tensor](), 0
        self._sum = torch.zeros(features, features, device=device) if moments else None
        self._absmax = torch.zeros(features, device=device)
        self._abs_sum = torch.zeros(features, dtype=torch.float64, device=device)
        self._square_sum = torch.zeros(features, dtype=torch.float64, device=device)  # it is the diagonal of H where there is one
        self._scaled = False
        self._derived: dict[Hashable, object] = {}
        self._lock = RLock()
        self.tokens = 0

    def add(self, inputs: Tensor) -> None:
        """Take in rows of features: any float [..., features]; products and sums are taken in float32."""
        if self._scaled:
            raise ValueError("the statistics have already been read: no more inputs can be added")
        rows = inputs.detach().reshape(-1, inputs.shape[-1])
        if not len(rows):
            return
        if self._n_rows < self._keep_rows:
            self._rows.append(rows[: self._keep_rows - self._n_rows].to(torch.float32, copy=True))
            self._n_rows += len(self._rows[-1])
        magnitudes = rows.abs()
        self._absmax = torch.maximum(self._absmax, magnitudes.amax(dim=0).to(torch.float32))
        self._abs_sum += magnitudes.sum(dim=0, dtype=torch.float32)
        if self._sum is not None:
            add_gram_(self._sum, rows)
        else:
            self._square_sum += magnitudes.to(torch.float32).square_().sum(dim=0)
        self.tokens += len(rows)

    @property
    def hessian(self) -> Tensor:
        """float32 [features, features]; after the first reading no more inputs are taken.

        Raises:
            RunFailed: no input was ever seen.
            ValueError: the statistics were made without `moments`.
        """
        self._require_tokens()
        if self._sum is None:
            raise ValueError("second moments were not gathered")
        if not self._scaled:
            mirror_lower_(self._sum)
            self._sum *= 2 / self.tokens
            self._scaled = True
        return self._sum

    @property
    def rows(self) -> Tensor:
        """float32 [n, features]: the first inputs, at most as many as were to be kept. Raises RunFailed: no input was ever seen."""
        self._require_tokens()
        return torch.cat(self._rows)

    @property
    def has_hessian(self) -> bool:
        """Whether second moments were gathered."""
        return self._sum is not None

    @property
    def absmax(self) -> Tensor:
        """float32 [features]: the largest magnitude of each feature. Raises RunFailed: no input was ever seen."""
        self._require_tokens()
        return self._absmax

    @property
    def mean_abs(self) -> Tensor:
        """float32 [features]: the mean magnitude of each feature. Raises RunFailed: no input was ever seen."""
        self._require_tokens()
        return (self._abs_sum / self.tokens).to(torch.float32)

    @property
    def mean_square(self) -> Tensor:
        """float32 [features]: the mean square of each feature, half the diagonal of the Hessian. Raises RunFailed: no input was ever seen."""
        self._require_tokens()
        if self._sum is not None:
            return self._sum.diagonal() / (2 if self._scaled else self.tokens)
        return (self._square_sum / self.tokens).to(torch.float32)

    @property
    def finite(self) -> bool:
        """Whether no NaN or infinity was seen, and no sum overflowed."""
        sums_fit = self._sum is None or bool(torch.isfinite(self._sum.diagonal()).all())
        return sums_fit and bool(torch.isfinite(self._abs_sum).all())

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What a method derives from the statistics, for example a factor: made on the first call, then kept; threads wait for each other."""
        with self._lock:
            if key not in self._derived:
                self._derived[key] = make()
            return cast("T", self._derived[key])

    def on(self, device: torch.device) -> InputStatistics:
        """The same statistics on another device, copied once; after the first call no more inputs are taken."""
        if device in (self._absmax.device, torch.device(self._absmax.device.type)):
            return self
        return self.once(("on", device), lambda: self._copy(device))

    def _copy(self, device: torch.device) -> InputStatistics:
        copy = InputStatistics(len(self._absmax), device, moments=False)
        copy._sum = None if self._sum is None or not self.tokens else self.hessian.to(device)
        copy._absmax, copy._abs_sum, copy._square_sum = self._absmax.to(device), self._abs_sum.to(device), self._square_sum.to(device)
        copy.tokens, copy._scaled = self.tokens, self._scaled
        return copy

    def _require_tokens(self) -> None:
        if not self.tokens:
            raise RunFailed("the calibration text never reached this linear: calibrate on more text, or use rtn")
