"""Methods that leave zeros in place: every linear of every block in turn, with no more than a block in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from core.calibration.blocks import Block, CalibratedBlock, Group, calibrated_blocks, plain_blocks
from core.calibration.statistics import InputStatistics
from core.errors import RequestError, RunFailed
from core.formats.writing.copy_rest import copy_rest
from core.formats.writing.shards import ShardWriter
from core.models.disk.files import read_object
from core.models.stream.stored_dtypes import stored_dtypes
from core.models.stream.streaming import StreamedModel
from core.numerics.errors import output_error, rows_error, weight_error
from core.prune.allocate.rule import rule_of
from core.prune.pipeline.writer import Written
from core.prune.result import LinearFigures
from core.prune.spec import PruneSpec
from core.prune.weights import alps, magnitude, sparsegpt, wanda
from core.prune.weights.config import MaskConfig
from core.prune.weights.exchange import exchange
from core.prune.weights.pattern import USUAL_SCOPE, Pattern
from core.prune.weights.pruned import Pruned
from core.prune.weights.refit import normalize, refit
from core.prune.weights.swaps import refine
from core.runs.resume_store import KeptBlock
from core.runs.steps import Steps
from core.sanitize import clean

Solve = Callable[[Tensor, InputStatistics | None, MaskConfig], Pruned]


_ERROR_ROWS = 1024
"""Inputs on which the error of a linear is measured where no second moments are gathered."""


class Gathering(TypedDict):
    """What is gathered of inputs."""

    moments: bool
    keep_rows: int


class BlockFacts(BaseModel):
    """What is kept of a finished block along with its tensors."""

    linears: list[LinearFigures] = []
    notes: list[str] = []


@dataclass(frozen=True)
class MaskWriter:
    """One method of choosing which weights become zero."""

    solve: Solve
    corrects: bool
    """Whether it changes the weights that are left."""
    moments: bool = True
    """Whether it needs the second moments of inputs, which take most of the time; errors are else those of the first inputs."""

    def steps(self, spec: PruneSpec, streamed: StreamedModel) -> int:
        """One per linear, and those of the allocation."""
        return sum(len(names) for names in streamed.check_linears()) + rule_of(spec).steps(streamed.n_blocks)

    def write(self, spec: PruneSpec, streamed: StreamedModel, windows: Tensor | None, out: Path, steps: Steps) -> Written:
        """Prune block by block and write each linear as soon as it is finished; then copy all other tensors as they are.

        Raises:
            RequestError: the calibration text never reaches a linear.
            RunFailed: inputs or weights hold NaN or infinity, or the disk is full.
        """
        shares = rule_of(spec).find(spec, streamed, windows, steps)
        written = Written(parameters=streamed.model.num_parameters())
        steps.say("calibrating" if windows is not None else "reading")
        with ShardWriter(out) as writer:
            done: set[str] = set()
            for block in self._blocks(spec, streamed, windows, shares, steps):
                for name, tensor in block.tensors.items():
                    writer.add(name, tensor)
                done.update(block.tensors)
                written.linears += block.facts.linears
                written.notes += block.facts.notes
            copy_rest(writer, streamed, done, steps.check_cancelled)
            steps.say("writing")
            writer.finish(read_object(streamed.folder / "config.json"), streamed.folder)
            written.bytes = writer.nbytes
        return written

    def _blocks(
        self, spec: PruneSpec, streamed: StreamedModel, windows: Tensor | None, shares: Mapping[str, float], steps: Steps
    ) -> Iterator[KeptBlock[BlockFacts]]:
        """What each block adds to the checkpoint; those that were kept when the run was stopped come from the store."""
        begin, hidden = steps.store.blocks, steps.store.hidden
        for index in range(begin):
            kept = steps.store.block(index, BlockFacts)
            for figures in kept.facts.linears:
                _report(steps, figures)
            yield kept
        stored, dtype = stored_dtypes(streamed)
        blocks = (
            plain_blocks(streamed, begin) if windows is None else calibrated_blocks(streamed, windows, steps.check_cancelled, dtype, begin, hidden)
        )
        finished: KeptBlock[BlockFacts] | None = None
        for block in blocks:
            if finished is not None:
                # The calibration text has passed the block before only now.
                reached = block.hidden if isinstance(block, CalibratedBlock) else None
                steps.store.save_block(block.index - 1, finished, reached, streamed.n_blocks - block.index)
            work = _BlockWork(self, spec, streamed, block, shares, stored, steps)
            finished = work.run()
            yield finished
        if finished is not None:
            steps.store.save_block(streamed.n_blocks - 1, finished, None)


@dataclass(frozen=True)
class _BlockWork:
    """The linears of one block."""

    writer: MaskWriter
    spec: PruneSpec
    streamed: StreamedModel
    block: Block
    shares: Mapping[str, float]
    stored: Mapping[str, torch.dtype]
    steps: Steps

    def run(self) -> KeptBlock[BlockFacts]:
        """Prune them in the order in which the block calls them; the block is left with its new weights."""
        result = KeptBlock(dict[str, Tensor](), BlockFacts())
        for group, statistics in self._groups():
            for name in group.names:
                self.steps.say(f"pruning {clean(name, limit=80)} in block {self.block.index + 1} of {self.streamed.n_blocks}")
                stored, tensor, figures, notes = self._linear(name, statistics)
                result.tensors[stored] = tensor
                result.facts.linears.append(figures)
                result.facts.notes += notes
                _report(self.steps, figures)
            del statistics  # what was derived from them takes as much again; the next group brings its own
        return result

    def _groups(self) -> Iterator[tuple[Group, InputStatistics | None]]:
        """Groups of linears with the statistics of their input, of the block as it is, or as it was before anything was pruned."""
        block = self.block
        if not isinstance(block, CalibratedBlock):
            yield from ((group, None) for group in block.groups)
        elif self.spec.within_block == "dense":
            self.steps.say(f"calibrating block {block.index + 1} of {self.streamed.n_blocks}")
            gathered = block.all_statistics(**self._gathering)
            for group in block.groups:
                yield group, self._reached(gathered.pop(0), group)
        else:
            yield from ((group, self._statistics(block, group)) for group in block.groups)

    @property
    def _gathering(self) -> Gathering:
        moments = self.writer.moments or self.spec.swaps > 0 or self.spec.refit
        return {"moments": moments, "keep_rows": 0 if moments else _ERROR_ROWS}

    def _statistics(self, block: CalibratedBlock, group: Group) -> InputStatistics:
        self.steps.say(f"calibrating {self._place(group)}")
        return self._reached(block.statistics(group, **self._gathering), group)

    def _reached(self, found: InputStatistics, group: Group) -> InputStatistics:
        if not found.tokens:
            raise RequestError(f"the calibration text never reaches {self._place(group)}: choose method magnitude without swaps, which needs no text")
        return found

    def _place(self, group: Group) -> str:
        return f"{clean(', '.join(group.names), limit=120)} in block {self.block.index + 1} of {self.streamed.n_blocks}"

    @torch.no_grad()
    def _linear(self, name: str, statistics: InputStatistics | None) -> tuple[str, Tensor, LinearFigures, list[str]]:
        """(name in the checkpoint, weight as it is stored, figures, notes) of one linear, by its name inside the block."""
        linear: nn.Linear = self.block.linears[name]
        stored_name = self.streamed.checkpoint_name(f"{self.streamed.block_prefix(self.block.index)}{name}.weight")
        shown = stored_name.removesuffix(".weight")
        original = linear.weight.detach().to(torch.float32)
        pattern = _pattern(self.spec, self.shares.get(shown))
        try:
            found = _solve(self.writer, self.spec, original, pattern, statistics)
        except RunFailed as error:
            raise RunFailed(f"{clean(shown, limit=200)}: {error}") from error
        tensor = found.weight.to(self.stored.get(stored_name, linear.weight.dtype))
        approximation = tensor.to(torch.float32)
        removed = int((approximation == 0).sum())
        rows, columns = original.shape
        figures = LinearFigures(
            name=clean(shown, limit=200),
            block=self.block.index,
            rows=rows,
            columns=columns,
            removed=removed,
            sparsity=removed / original.numel(),
            error=_error(original, approximation, statistics),
            error_before=found.error_before,
            swaps=found.swaps,
        )
        linear.weight.data.copy_(approximation)
        return stored_name, tensor.cpu(), figures, [f"{figures.name}: {note}" for note in found.notes]


@dataclass(frozen=True)
class _Found:
    weight: Tensor
    notes: tuple[str, ...]
    error_before: float | None = None
    swaps: int | None = None


def _solve(writer: MaskWriter, spec: PruneSpec, original: Tensor, pattern: Pattern, statistics: InputStatistics | None) -> _Found:
    """By the method asked for, then with swaps and a refit where they are wanted."""
    pruned = writer.solve(original, statistics, MaskConfig(pattern, damp=spec.damp, alps_steps=spec.alps_steps))
    if statistics is None or not (spec.swaps or spec.refit):
        return _Found(pruned.weight, pruned.notes)
    before = _error(original, pruned.weight, statistics)
    weight, removed, swaps = pruned.weight, pruned.removed, None
    if spec.swaps and not writer.corrects:
        swapped = refine(original, removed, statistics.hessian, pattern, swaps=spec.swaps)
        removed, swaps = swapped.removed, swapped.swaps
        weight = original.masked_fill(removed, 0)
    start = pruned.weight if writer.corrects else None
    if spec.swaps and (spec.refit or writer.corrects):
        exchanged = exchange(original, removed, normalize(statistics.hessian, spec.damp), pattern, swaps=spec.swaps, start=start)
        weight, swaps = exchanged.weight, (swaps or 0) + exchanged.swaps
    elif spec.refit:
        weight = refit(original, removed, statistics.hessian, damp=spec.damp, start=start)
    if _error(original, weight, statistics) > before:
        return _Found(pruned.weight, (*pruned.notes, "swaps and refit did not lower its error and were not used"), before, 0 if spec.swaps else None)
    return _Found(weight, pruned.notes, before, swaps)


def _error(original: Tensor, approximation: Tensor, statistics: InputStatistics | None) -> float:
    if statistics is None:
        return weight_error(original, approximation).relative
    if statistics.has_hessian:
        return output_error(original, approximation, statistics.hessian).relative
    return rows_error(original, approximation, statistics.rows)


def _pattern(spec: PruneSpec, share: float | None) -> Pattern:
    if (keep := spec.request.keep) is not None:
        return Pattern(keep=keep)
    scope: Literal["row", "matrix"] = USUAL_SCOPE[spec.method] if spec.scope == "row" else "matrix"
    return Pattern(spec.sparsity if share is None else share, scope=scope)


def _report(steps: Steps, figures: LinearFigures) -> None:
    steps.measured("linear_error", figures.error, figures.block, figures.name)
    steps.measured("linear_sparsity", figures.sparsity, figures.block, figures.name)
    steps.step(f"pruned {figures.name}")


MAGNITUDE = MaskWriter(magnitude.prune, corrects=False, moments=False)
WANDA = MaskWriter(wanda.prune, corrects=False, moments=False)
SPARSEGPT = MaskWriter(sparsegpt.prune, corrects=True)
ALPS = MaskWriter(alps.prune, corrects=True)
