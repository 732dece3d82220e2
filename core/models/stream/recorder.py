"""Learn from a model's own forward pass what it gives each block, and use its own head, while no block runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import RequestError

Forward = Callable[..., Any]


@dataclass(frozen=True)
class BlockCall:
    """What one block is given besides the hidden state."""

    keyword: str | None
    """Name under which the hidden state is given, None when it is the first positional argument."""
    args: tuple[Any, ...]
    kwargs: Mapping[str, object]

    def __call__(self, block: nn.Module, hidden: Tensor) -> Any:
        """What a block returns for a hidden state [n, T, H]."""
        return block(hidden, *self.args, **self.kwargs) if self.keyword is None else block(**{self.keyword: hidden}, **self.kwargs)


class BlockRecorder:
    """Replaces the blocks' forward for the length of a call of the model."""

    def __init__(self, model: nn.Module, blocks: Sequence[nn.Module]) -> None:
        self._model = model
        self._blocks = blocks
        self._in_tuple = False

    def embed(self, tokens: Tensor) -> Tensor:
        """Hidden state [n, T, H] that the first block is given for tokens [n, T]."""
        return self._pass(tokens, last=0)[0]

    def record(self, tokens: Tensor) -> tuple[Tensor, list[BlockCall]]:
        """Hidden state of the first block for tokens [n, T], and the call of every block.

        Raises:
            RequestError: the model changes the hidden state between its blocks.
        """
        return self._pass(tokens, last=len(self._blocks) - 1)

    def head(self, hidden: Tensor, embedding_width: int) -> Tensor:
        """Logits [n, T, V] in float32 of the last block's output [n, T, H]: the model's own norm, head, scaling and capping."""
        count, length, _ = hidden.shape
        embeddings = hidden.new_zeros(()).expand(count, length, embedding_width)

        def make(index: int) -> Forward:
            def forward(*args: Any, **kwargs: Any) -> Any:
                given = _hidden_of(args, kwargs)[0]
                return self._wrapped(hidden if index == 0 else self._same(given, hidden))

            return forward

        with self._replaced(make):
            output = self._until_known(lambda: self._model(inputs_embeds=embeddings, use_cache=False))
        logits: Tensor = output.logits
        return logits.float()

    def run(self, block: nn.Module, hidden: Tensor, call: BlockCall) -> Tensor:
        """Output [n, T, H] of a real block; whether it comes in a tuple is remembered for `head`."""
        output = call(block, hidden)
        self._in_tuple = isinstance(output, tuple)
        result = output[0] if self._in_tuple else output
        if not isinstance(result, Tensor) or result.shape != hidden.shape:
            raise RequestError(f"{type(block).__name__} does not return a hidden state of the shape it was given, so it cannot be processed alone")
        return result

    def _pass(self, tokens: Tensor, last: int) -> tuple[Tensor, list[BlockCall]]:
        calls: list[BlockCall] = []
        entered: list[Tensor] = []

        def make(index: int) -> Forward:
            def forward(*args: Any, **kwargs: Any) -> Any:
                given, keyword = _hidden_of(args, kwargs)
                if index == 0:
                    calls.clear()
                    entered[:] = [given]
                given = self._same(given, entered[0])
                rest = {name: value for name, value in kwargs.items() if name != keyword}
                calls.append(BlockCall(keyword, args if keyword else args[1:], rest))
                if index == last:
                    raise _Stop
                return self._wrapped(given)

            return forward

        def run() -> None:
            try:
                self._model(input_ids=tokens, use_cache=False)
            except _Stop:
                return
            raise RequestError(f"{type(self._model).__name__} does not run all of its blocks in order, so it cannot be processed block by block")

        with self._replaced(make):
            self._until_known(run)
        if entered[0].ndim != 3:
            raise RequestError(
                f"{type(self._model).__name__} carries several hidden states through its blocks, so it cannot be processed block by block"
            )
        return entered[0], calls

    def _same(self, given: Tensor, expected: Tensor) -> Tensor:
        if given is expected:
            return given
        if not self._in_tuple and given.ndim == expected.ndim - 1:
            raise _WantsTuple
        raise RequestError(f"{type(self._model).__name__} changes the hidden state between its blocks, so it cannot be processed block by block")

    def _wrapped(self, hidden: Tensor) -> Any:
        return (hidden,) if self._in_tuple else hidden

    def _until_known(self, run: Callable[[], Any]) -> Any:
        """Call; once more with tuples when the model turned out to take the first item of what a block returns."""
        with torch.no_grad():
            try:
                return run()
            except _WantsTuple:
                self._in_tuple = True
                return run()

    @contextmanager
    def _replaced(self, make: Callable[[int], Forward]) -> Iterator[None]:
        for index, block in enumerate(self._blocks):
            block.forward = make(index)
        try:
            yield
        finally:
            for block in self._blocks:
                del block.forward


class _Stop(Exception):
    pass


class _WantsTuple(Exception):
    pass


def _hidden_of(args: tuple[Any, ...], kwargs: Mapping[str, object]) -> tuple[Tensor, str | None]:
    if args and isinstance(args[0], Tensor):
        return args[0], None
    for name in ("hidden_states", "x", "hidden"):
        if isinstance(hidden := kwargs.get(name), Tensor):
            return hidden, name
    raise RequestError("no hidden state was recognized in this architecture's blocks, so it cannot be processed block by block")


def same_calls(one: Sequence[BlockCall], two: Sequence[BlockCall]) -> bool:
    """Whether calls recorded with one window broadcast to the calls recorded with two: then they serve any number."""
    known: dict[tuple[int, int], bool] = {}
    return len(one) == len(two) and all(
        _broadcasts((first.args, dict(first.kwargs)), (second.args, dict(second.kwargs)), known) for first, second in zip(one, two, strict=True)
    )


def _broadcasts(one: Any, two: Any, known: dict[tuple[int, int], bool]) -> bool:
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        key = (id(one), id(two))
        if key not in known:
            known[key] = one.ndim == two.ndim and (one.ndim == 0 or one.shape[0] == 1 or one.shape == two.shape) and _equal(one, two)
        return known[key]
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_broadcasts(one[key], two[key], known) for key in one)
    if isinstance(one, tuple | list) and isinstance(two, tuple | list):
        return len(one) == len(two) and all(_broadcasts(first, second, known) for first, second in zip(one, two, strict=True))
    return isinstance(one, Tensor) == isinstance(two, Tensor)


def _equal(one: Tensor, two: Tensor) -> bool:
    return one.shape[1:] == two.shape[1:] and torch.equal(one.expand_as(two), two)
