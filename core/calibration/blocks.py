"""Walk a model block by block with the inputs that calibration text really gives each linear.

Each block is calibrated on the outputs of the blocks before it as they are now, that is already changed, and each group of
linears inside it on the outputs of the linears before it (GPTQ's true sequential order). Parts of a block that are finished do not run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from core.calibration.replay import Part, Replay, Tracer
from core.calibration.statistics import InputStatistics
from core.errors import RunFailed
from core.measure.freed_memory import give_back_memory
from core.models.stream.streaming import BlockInputs, StreamedModel
from core.models.structure import find_linears
from core.sanitize import clean

OnWindows = Callable[[], None]
"""Called after every chunk of windows; may raise to cancel."""

_CHUNK_TOKENS = 1024


@dataclass(frozen=True)
class Group:
    """Linears of a block that read the very same tensor, so that one set of statistics serves them all."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class ModuleCall:
    """What a module was called with; can be called again."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __call__(self, module: nn.Module) -> Tensor:
        """The module's output, the first where it returns several."""
        output = module(*self.args, **self.kwargs)
        result: Tensor = output[0] if isinstance(output, tuple) else output
        return result


class _Reached(Exception):
    """The input that was waited for has been seen; the rest of the block need not run."""


@dataclass
class Block:
    """One decoder block with its weights."""

    index: int
    module: nn.Module
    linears: dict[str, nn.Linear]
    """By their name inside the block."""
    groups: list[Group]
    """All linears, in the order in which they are to be worked on."""


class CalibratedBlock(Block):
    """A block and the hidden states that enter it."""

    def __init__(self, streamed: StreamedModel, index: int, inputs: BlockInputs, on_windows: OnWindows) -> None:
        self._streamed, self._inputs, self._on_windows = streamed, inputs, on_windows
        module = streamed.load_block(index)
        super().__init__(index, module, find_linears(module), [])
        self._replay = self._replay_of([])
        self.groups = self._find_groups()

    @property
    def hidden(self) -> Tensor:
        """[N, T, H]: what the block is given, for all windows."""
        return self._inputs.hidden

    @torch.no_grad()
    def statistics(self, group: Group, *, moments: bool = True, keep_rows: int = 0) -> InputStatistics:
        """Statistics of the group's input over all windows, with the block's weights as they are now; arguments as of `InputStatistics`.

        Raises:
            RunFailed: the inputs hold NaN or infinity.
        """
        name = group.names[0]
        last = name if self._calls[name] == 1 else None
        with nullcontext() if last is None else self._replay.passing(last):
            return self._gather((name,), self._chunks(), moments=moments, last=last, keep_rows=keep_rows)[name]

    @torch.no_grad()
    def all_statistics(self, *, moments: bool = True, keep_rows: int = 0) -> list[InputStatistics]:
        """Statistics of the input of every group, in the order of `groups`, in one pass; arguments and errors as of `statistics`."""
        names = tuple(group.names[0] for group in self.groups)
        found = self._gather(names, self._chunks(), moments=moments, last=None, keep_rows=keep_rows)
        return [found[name] for name in names]

    @torch.no_grad()
    def ranges(self, names: Iterable[str], tokens: int | None = None) -> dict[str, InputStatistics]:
        """Ranges, without second moments, of the inputs of several linears, in one pass that ends at the last of them.

        Args:
            names: of the linears.
            tokens: stop after the chunk of windows that reaches this many tokens; None: all windows.

        Raises:
            RunFailed: the inputs hold NaN or infinity.
        """
        wanted = tuple(names)
        order = [name for group in self.groups for name in group.names]
        last = max(wanted, key=order.index)
        length = self._inputs.hidden.shape[1]
        chunks = takewhile(lambda chunk: tokens is None or not chunk[0] or chunk[0] * length < tokens, self._chunks())
        return self._gather(wanted, chunks, moments=False, last=last if self._calls[last] == 1 else None)

    @torch.no_grad()
    def sample(self, names: Iterable[str], tokens: int) -> dict[str, list[ModuleCall]]:
        """What modules of the block (the empty name: the block itself) are given for the first windows, with its weights as they are now.

        Args:
            names: of the modules.
            tokens: as many windows as fill this many tokens; at least one.
        """
        calls: dict[str, list[ModuleCall]] = {name: [] for name in names}
        handles = [
            self.module.get_submodule(name).register_forward_pre_hook(
                lambda _module, arguments, keywords, found=found: found.append(ModuleCall(arguments, dict(keywords))), with_kwargs=True
            )
            for name, found in calls.items()
        ]
        windows = self._inputs.hidden[: max(tokens // self._inputs.hidden.shape[1], 1)]
        try:
            self._run(windows, 0)
        finally:
            for handle in handles:
                handle.remove()
        return calls

    def _gather(
        self, names: tuple[str, ...], chunks: Iterable[tuple[int, Tensor]], *, moments: bool, last: str | None, keep_rows: int = 0
    ) -> dict[str, InputStatistics]:
        """Run chunks of windows; stop each run at the linear `last`, when one is named."""
        found = {
            name: InputStatistics(self.linears[name].in_features, self.linears[name].weight.device, moments=moments, keep_rows=keep_rows)
            for name in names
        }

        def take(name: str, inputs: Tensor) -> None:
            found[name].add(inputs)
            if name == last:
                raise _Reached

        handles = [self.linears[name].register_forward_pre_hook(lambda _module, arguments, name=name: take(name, arguments[0])) for name in names]
        try:
            for first, hidden in chunks:
                with suppress(_Reached):
                    self._run(hidden, first)
                self._on_windows()
        finally:
            for handle in handles:
                handle.remove()
            give_back_memory()
        for name, statistics in found.items():
            if statistics.tokens and not statistics.finite:
                raise RunFailed(
                    f"the calibration inputs of {clean(name)} in block {self.index} contain NaN or Inf: the checkpoint is "
                    "damaged, or its dtype overflows"
                )
        return found

    @torch.no_grad()
    def advance(self) -> None:
        """Replace the hidden states by the block's outputs, with its weights as they are now."""
        with self._replay.passing(None):
            for first, hidden in self._chunks():
                hidden.copy_(self._run(hidden, first))
                self._on_windows()
        self._replay.clear()

    def _run(self, hidden: Tensor, first: int) -> Tensor:
        self._replay.begin(first)
        return self._streamed.run_block(self.module, hidden.to(self._streamed.dtype), self.index, self._inputs, first=first)

    def _replay_of(self, parts: list[Part]) -> Replay:
        return Replay(self.module, self.linears, parts, self._inputs.hidden, self._streamed.dtype)

    def _chunks(self) -> Iterator[tuple[int, Tensor]]:
        """(number of the first window, hidden states of a few windows)."""
        hidden = self._inputs.hidden
        step = 1 if self._inputs.per_window else max(_CHUNK_TOKENS // hidden.shape[1], 1)
        return ((first, hidden[first : first + step]) for first in range(0, len(hidden), step))

    @torch.no_grad()
    def _find_groups(self) -> list[Group]:
        """Run one window through the block and see which linears are called in what order with which tensor."""
        seen: list[tuple[str, Tensor]] = []
        handles = [
            linear.register_forward_pre_hook(lambda _module, arguments, name=name: seen.append((name, arguments[0])))
            for name, linear in self.linears.items()
        ]
        tracer = Tracer(self.module, self.linears)
        try:
            with tracer.watching():
                self._run(self._inputs.hidden[:1], 0)
        finally:
            for handle in handles:
                handle.remove()
        parts = [] if self._inputs.per_window else tracer.parts()
        self._replay = self._replay_of(parts)
        self._calls = {name: sum(called == name for called, _ in seen) for name in self.linears}
        groups: list[tuple[Tensor, list[str]]] = []
        for name, tensor in seen:
            if any(name in names for _, names in groups):
                continue
            same = next((names for first, names in groups if first is tensor and self._calls[name] == 1), None)
            groups.append((tensor, [name])) if same is None else same.append(name)
        unseen = [[name] for name in self.linears if not self._calls[name]]
        return [Group(tuple(names)) for names in [*(names for _, names in groups), *unseen]]


def calibrated_blocks(
    streamed: StreamedModel,
    windows: Tensor,
    on_windows: OnWindows = lambda: None,
    dtype: torch.dtype | None = None,
    begin: int = 0,
    hidden: Tensor | None = None,
) -> Iterator[CalibratedBlock]:
    """Every block in order, ready for `statistics`. Change its weights, then ask for the next: the hidden states move on by themselves.

    Args:
        streamed: the model.
        windows: calibration tokens, int64 [N, T].
        on_windows: called after every chunk of windows.
        dtype: of the hidden states between blocks; None keeps the model's.
        begin: the first block, for work that continues.
        hidden: [N, T, H] what that block is given; None: the embeddings.
    """
    inputs = streamed.capture(windows)
    if dtype is not None:
        inputs.hidden = inputs.hidden.to(dtype)
    if hidden is not None:
        inputs.hidden = hidden.to(inputs.hidden)
    for index in range(begin, streamed.n_blocks):
        block = CalibratedBlock(streamed, index, inputs, on_windows)
        yield block
        if index + 1 < streamed.n_blocks:
            block.advance()
        streamed.release_block(index)


def plain_blocks(streamed: StreamedModel, begin: int = 0) -> Iterator[Block]:
    """Every block from `begin` on, each linear a group of its own, for methods that need no data."""
    for index in range(begin, streamed.n_blocks):
        module = streamed.load_block(index)
        linears = find_linears(module)
        yield Block(index, module, linears, [Group((name,)) for name in linears])
        streamed.release_block(index)
