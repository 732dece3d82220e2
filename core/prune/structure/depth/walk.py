"""Measure a model without each of its blocks in turn, block by block: hidden states in front of the missing block are computed once for all.

With m blocks these are m (m - 1) / 2 block passes for all single drops instead of m². Every block is read once for a group of candidates; as many
candidates walk together as their hidden states fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from core.evaluate.logits.scores import kl_divergence, negative_log_likelihood, rows
from core.models.stream.streaming import BlockInputs, StreamedModel
from core.prune.structure.depth.scores import Sums, add_, angles, cosines

STATES_BYTES = 192 * 2**20
"""Most bytes of hidden states of all candidates together; one candidate of one window is the least."""
_LOGITS_BYTES = 16 * 2**20
_CHUNK_TOKENS = 1024

OnBlock = Callable[[int], None]
"""Called with the number of a block once it was read and used; may raise to cancel."""


@dataclass
class _Share:
    """What the walk over one share of the windows leaves."""

    final: list[Tensor] = field(default_factory=list)
    """[N, T, H] what the last block returns, one for each candidate."""
    cosine: list[float] = field(default_factory=list)
    last: list[Tensor] = field(default_factory=list)
    """[N, H] of the last token, before each block and after the last one."""


@dataclass(frozen=True)
class Sizes:
    """How the work is split."""

    windows: int
    """Of a share."""
    candidates: int
    """That walk together."""

    @classmethod
    def of(cls, length: int, width: int, itemsize: int, blocks: int) -> Sizes:
        """For windows of `length` tokens, hidden states of `width` numbers and a model of so many blocks."""
        window = length * width * itemsize
        fit = max(STATES_BYTES // window - 2, 1)
        return cls(max(fit // blocks, 1), min(fit, blocks))

    def shares(self, windows: int) -> int:
        """Shares of so many windows."""
        return -(-windows // self.windows)

    def reads(self, blocks: int) -> int:
        """Blocks that are read to measure a model of so many for one share."""
        return sum(blocks - begin for begin in range(0, blocks, self.candidates))


class LayerWalk:
    """Measures models that are left of one, over the same windows.

    Args:
        streamed: the original model.
        windows: calibration tokens int64 [N, T].
        run: blocks of the run that the angular distance spans.
        on_block: called after each block that is read for a measurement.
    """

    def __init__(self, streamed: StreamedModel, windows: Tensor, run: int, on_block: OnBlock) -> None:
        self._streamed, self._windows, self._run, self._on_block = streamed, windows, run, on_block
        width = int(streamed.config.get_text_config().hidden_size)
        self.sizes = Sizes.of(windows.shape[1], width, streamed.dtype.itemsize, streamed.n_blocks)
        self._reference: dict[int, Tensor] = {}

    @torch.no_grad()
    def measure(self, alive: Sequence[int], sums: Sums, after_share: Callable[[Sums], None]) -> Sums:
        """Measure the model of the blocks `alive` without each of them, in shares of the windows, from the first that `sums` does not hold.

        Args:
            alive: numbers of blocks, ascending.
            sums: of the shares that were measured before; is added to.
            after_share: called with the sums after each share.
        """
        whole = len(alive) == self._streamed.n_blocks
        for share, windows in enumerate(torch.split(self._windows, self.sizes.windows)):
            if share < sums.shares:
                continue
            inputs = self._streamed.capture(windows)
            if not whole and share not in self._reference:
                self._reference[share] = self._through(inputs)
            found = self._walk(alive, inputs, share, whole=whole)
            kl, nll, original = self._compare(found.final, self._reference[share], windows)
            add_(sums.kl, kl)
            add_(sums.nll, nll)
            sums.nll_original += original
            sums.targets += windows[:, 1:].numel()
            if whole:
                add_(sums.cosine, found.cosine)
                add_(sums.angle, angles(found.last, self._run))
                sums.tokens += windows.numel()
                sums.windows += len(windows)
            sums.shares += 1
            after_share(sums)
        return sums

    def _walk(self, alive: Sequence[int], inputs: BlockInputs, share: int, *, whole: bool) -> _Share:
        found = _Share()
        base = inputs.hidden
        for begin in range(0, len(alive), self.sizes.candidates):
            end = min(begin + self.sizes.candidates, len(alive))
            group: list[Tensor] = []
            for at in range(begin, len(alive)):
                index = alive[at]
                block = self._streamed.load_block(index)
                for state in group:
                    self._pass(block, state, index, inputs)
                if at < end:
                    group.append(base.clone())
                    before = base.clone() if whole else base
                    self._pass(block, base, index, inputs)
                    if whole:
                        found.cosine.append(float(sum(cosines(before[row], base[row]).sum(dtype=torch.float64) for row in range(len(base)))))
                        found.last.append(before[:, -1].clone())
                self._streamed.release_block(index)
                self._on_block(index)
            found.final += group
        if whole:
            found.last.append(base[:, -1].clone())
            self._reference[share] = base
        return found

    def _through(self, inputs: BlockInputs) -> Tensor:
        """What the last block of the original returns."""
        hidden = inputs.hidden.clone()
        for index in range(self._streamed.n_blocks):
            self._pass(self._streamed.load_block(index), hidden, index, inputs)
            self._streamed.release_block(index)
        return hidden

    def _pass(self, block: nn.Module, hidden: Tensor, index: int, inputs: BlockInputs) -> None:
        step = max(_CHUNK_TOKENS // hidden.shape[1], 1)
        for first in range(0, len(hidden), step):
            hidden[first : first + step] = self._streamed.run_block(block, hidden[first : first + step], index, inputs, first=first)

    def _compare(self, candidates: Sequence[Tensor], reference: Tensor, windows: Tensor) -> tuple[list[float], list[float], float]:
        """(divergence, negative log-likelihood) of each candidate and the likelihood of the original, summed over the targets of a share."""
        kl, nll, original = [0.0] * len(candidates), [0.0] * len(candidates), 0.0
        for window, part in self._pieces(windows):
            targets = windows[window, part.start + 1 : part.stop + 1].to(reference.device)
            expected = rows(self._logits(reference, window, part))
            original += float(negative_log_likelihood(expected, targets).sum())
            for at, candidate in enumerate(candidates):
                given = rows(self._logits(candidate, window, part))
                kl[at] += float(kl_divergence(expected, given).sum())
                nll[at] += float(negative_log_likelihood(given, targets).sum())
        self._streamed.release_outer()
        return kl, nll, original

    def _logits(self, hidden: Tensor, window: int, part: slice) -> Tensor:
        return self._streamed.logits(hidden[window : window + 1, part])[0]

    def _pieces(self, windows: Tensor) -> Iterator[tuple[int, slice]]:
        """(window, tokens that predict a next one), so few that their logits stay small."""
        vocabulary = int(self._streamed.config.get_text_config().vocab_size)
        step, length = max(_LOGITS_BYTES // (4 * vocabulary), 1), windows.shape[1] - 1
        return ((window, slice(begin, min(begin + step, length))) for window in range(len(windows)) for begin in range(0, length, step))
