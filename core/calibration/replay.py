"""Run each part of a block once, although its groups of linears are worked on one after another.

A part, such as the attention, whose result is what its last linear returns need not run again once that linear's inputs have been seen:
the inputs are kept, and the finished linear makes the part's result from them. So a pass for a later group begins where the one before stopped.
What is kept has the dtype of the hidden states between blocks, and is used only while all weights before it are what they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

KEPT_WIDTH = 2.0
"""Widest inputs that are kept, as a multiple of the hidden states' width: wider ones, such as those of the MLP's last linear, are computed again."""


@dataclass(frozen=True)
class Part:
    """A module inside a block and the linear whose output is its result."""

    module: nn.Module
    linear: str
    before: tuple[str, ...]
    """Parameters of the block that the linear's inputs depend on."""
    rest: tuple[None, ...] | None
    """What the module returns alongside its result; None when it returns the result alone."""


@dataclass
class _Kept:
    rows: Tensor
    """[N, T, features]: inputs of the linear, or what the part returned."""
    mark: tuple[float, ...]
    """Of the parameters that they depend on."""
    returned: bool = False
    """Whether they are what the part returned."""
    results: int = 0
    """Windows for which it is known what the part returned."""


class Tracer:
    """Watches one forward pass of a block: in which order its modules begin, and whose result is whose."""

    def __init__(self, block: nn.Module, linears: Mapping[str, nn.Linear]) -> None:
        self._block = block
        self._linears = linears
        self._begun: list[nn.Module] = []
        self._returned: dict[str, tuple[nn.Module, Any]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hooks on all modules inside the block."""
        inner = [(name, module) for name, module in self._block.named_modules() if name]
        handles = [module.register_forward_pre_hook(lambda module, _: self._begun.append(module)) for _, module in inner]
        handles += [module.register_forward_hook(lambda module, _, out, name=name: self._keep(name, module, out)) for name, module in inner]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def parts(self) -> list[Part]:
        """The outermost module for each linear whose output is that module's result."""
        found = []
        for name, linear in self._linears.items():
            if sum(module is linear for module in self._begun) != 1:
                continue
            result = self._returned[name][1]
            above = [path for path in self._returned if name.startswith(f"{path}.") and self._is_result(path, result)]
            if above:
                module, output = self._returned[min(above, key=len)]
                rest = (None,) * (len(output) - 1) if isinstance(output, tuple) else None
                found.append(Part(module, name, self._before(linear), rest))
        self._returned.clear()
        return found

    def _keep(self, name: str, module: nn.Module, output: Any) -> None:
        self._returned[name] = module, output

    def _is_result(self, path: str, result: Tensor) -> bool:
        module, output = self._returned[path]
        if sum(begun is module for begun in self._begun) != 1:
            return False
        return output is result or (isinstance(output, tuple) and output[0] is result and all(item is None for item in output[1:]))

    def _before(self, linear: nn.Linear) -> tuple[str, ...]:
        """All parameters of the block but those of modules that first run with the linear or after it."""
        order = list(dict.fromkeys(self._begun))
        later = {id(module) for module in order[order.index(linear) :]}
        owners = ((name, self._block.get_submodule(name.rpartition(".")[0])) for name, _ in self._block.named_parameters())
        return tuple(name for name, owner in owners if id(owner) not in later)


class Replay:
    """The parts of one block, what is kept of them, and the passes that use it.

    Args:
        block: with its weights.
        linears: by their name inside the block.
        parts: from a `Tracer`.
        hidden: [N, T, H] the block's inputs; what is kept gets their dtype.
        dtype: of the arithmetic inside the block.
    """

    def __init__(self, block: nn.Module, linears: Mapping[str, nn.Linear], parts: list[Part], hidden: Tensor, dtype: torch.dtype) -> None:
        self._block, self._linears, self._hidden, self._dtype = block, linears, hidden, dtype
        self._parts = {part.linear: part for part in parts}
        self._kept: dict[str, _Kept] = {}
        self._first = 0

    def begin(self, first: int) -> None:
        """The next run of the block begins with this window."""
        self._first = first

    def clear(self) -> None:
        """Let go all that is kept."""
        self._kept.clear()

    @contextmanager
    def passing(self, last: str | None) -> Iterator[None]:
        """For the length of a pass over all windows, finished parts give back what was kept of them.

        Args:
            last: the linear at which every run of the pass stops, its inputs are kept if it ends a part; None for a pass to the end.
        """
        handle = None if last is None else self._keeping(last)
        given = [name for name, kept in self._kept.items() if name != last and self._is_valid(self._parts[name], kept, last)]
        for name in given:
            self._parts[name].module.forward = self._giving(self._parts[name], self._kept[name])
        try:
            yield
        finally:
            if handle is not None:
                handle.remove()
            for name in given:
                del self._parts[name].module.forward
                self._finish(name)

    def _keeping(self, name: str) -> RemovableHandle | None:
        """Keep what enters a linear that ends a part, if that is not too much."""
        part, linear = self._parts.get(name), self._linears[name]
        self._kept.pop(name, None)
        count, length, width = self._hidden.shape
        if part is None or linear.in_features > KEPT_WIDTH * width:
            return None
        rows = self._hidden.new_empty(count, length, linear.in_features)
        self._kept[name] = _Kept(rows, self._mark(part.before))

        def keep(_module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs = arguments[0]
            rows[self._first : self._first + len(inputs)] = inputs.view(-1, length, linear.in_features)

        return linear.register_forward_pre_hook(keep, prepend=True)

    def _giving(self, part: Part, kept: _Kept) -> Callable[..., Any]:
        """A forward that returns what the part would."""
        linear = self._linears[part.linear]

        def forward(*args: Any, **kwargs: Any) -> Any:
            given = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
            rows = kept.rows[self._first : self._first + len(given)]
            result = rows.to(self._dtype)
            if not kept.returned:
                result = linear(result)
                kept.results += len(given)
                if linear.out_features == linear.in_features:
                    rows.copy_(result)
            return result if part.rest is None else (result, *part.rest)

        return forward

    def _finish(self, name: str) -> None:
        """What was made of the inputs in a whole pass takes their place; after less than that, neither can be used."""
        kept, part, linear = self._kept[name], self._parts[name], self._linears[name]
        if kept.returned or not kept.results or linear.out_features != linear.in_features:
            return
        if kept.results == len(self._hidden):
            kept.returned, kept.mark = True, self._mark(self._with_linear(part))
        else:
            del self._kept[name]

    def _is_valid(self, part: Part, kept: _Kept, last: str | None) -> bool:
        inside = last is not None and any(module is self._linears[last] for module in part.module.modules())
        return not inside and kept.mark == self._mark(self._with_linear(part) if kept.returned else part.before)

    def _with_linear(self, part: Part) -> tuple[str, ...]:
        own = (f"{part.linear}.{name}" for name, _ in self._linears[part.linear].named_parameters())
        return (*part.before, *own)

    def _mark(self, names: tuple[str, ...]) -> tuple[float, ...]:
        """Sums that differ when weights do."""
        return tuple(float(self._block.get_parameter(name).sum(dtype=torch.float64)) for name in names)
