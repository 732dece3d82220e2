"""Cut every block alike, one at a time, each on what the blocks before it make of the calibration text now that they are smaller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import BaseModel
from torch import Tensor

from core.calibration.blocks import Block, CalibratedBlock, calibrated_blocks, plain_blocks
from core.calibration.statistics import InputStatistics
from core.formats.writing.copy_rest import copy_rest
from core.formats.writing.shards import ShardWriter
from core.models.card import ModelCard
from core.models.disk.files import read_object
from core.models.disk.headers import model_tensors
from core.models.disk.tensors import TORCH_DTYPES
from core.models.stream.streaming import StreamedModel
from core.prune.pipeline.writer import Written
from core.prune.result import ImportanceFigures, LinearFigures
from core.prune.structure.inputs.activations import ActivationMeans, watching
from core.runs.resume_store import KeptBlock
from core.runs.steps import Steps

Config = Mapping[str, Any]


class BlockFacts(BaseModel):
    """What is kept of a finished block along with its tensors."""

    linears: list[LinearFigures] = []
    importance: list[ImportanceFigures] = []
    notes: list[str] = []


@dataclass(frozen=True)
class CutBlock:
    """A block after the cut."""

    parameters: dict[str, Tensor]
    """By their name inside the block; dtype of the computation, shape of the result. Others stay as they are."""
    facts: BlockFacts


class Cutter(Protocol):
    """How one kind of axis is cut in one block."""

    reader: str
    """Name of the linear that reads the axis: its inputs are watched."""
    unit: int
    """Consecutive inputs of it that go or stay together."""

    def cut(self, block: Block, statistics: InputStatistics | None, means: ActivationMeans | None) -> CutBlock:
        """Decide, make up for what goes, and put what is left into the block's own parameters, zeros where something is gone."""
        ...

    def config(self, config: Config) -> dict[str, Any]:
        """The configuration of the smaller model."""
        ...


def write_blockwise(streamed: StreamedModel, windows: Tensor | None, out: Path, steps: Steps, cutter: Cutter) -> Written:
    """Cut block by block, write each as soon as it is finished, then copy all other tensors as they are; one step per block.

    Args:
        streamed: the original model.
        windows: calibration tokens int64 [N, T]; None for a criterion that reads none.
        out: folder that receives the checkpoint.
        steps: reports every block and keeps finished ones.
        cutter: of the axis.
    """
    written = Written()
    steps.say("checking the weights")
    streamed.check_weights(steps.check_cancelled)
    with ShardWriter(out) as writer:
        done: set[str] = set()
        for index, kept in _cut_blocks(streamed, windows, steps, cutter):
            for name, tensor in kept.tensors.items():
                writer.add(name, tensor)
            done.update(kept.tensors)
            _report(kept.facts, index, steps)
            written.linears += kept.facts.linears
            written.importance += kept.facts.importance
            written.notes += kept.facts.notes
            steps.step(f"cutting block {min(index + 2, streamed.n_blocks)} of {streamed.n_blocks}")
        copy_rest(writer, streamed, done, steps.check_cancelled)
        steps.say("writing")
        writer.finish(cutter.config(read_object(streamed.folder / "config.json")), streamed.folder)
        written.bytes = writer.nbytes
    written.parameters = ModelCard.from_folder(out).parameters
    return written


def _cut_blocks(streamed: StreamedModel, windows: Tensor | None, steps: Steps, cutter: Cutter) -> Iterator[tuple[int, KeptBlock[BlockFacts]]]:
    begin, hidden = steps.store.blocks, steps.store.hidden
    for index in range(begin):
        yield index, steps.store.block(index, BlockFacts)
    stored = {name: TORCH_DTYPES[location.info.dtype] for name, location in model_tensors(streamed.folder).items()}
    passed: KeptBlock[BlockFacts] | None = None
    n_blocks = streamed.n_blocks
    blocks = plain_blocks(streamed, begin) if windows is None else calibrated_blocks(streamed, windows, steps.check_cancelled, None, begin, hidden)
    for block in blocks:
        if passed is not None:
            steps.store.save_block(
                block.index - 1, passed, block.hidden if isinstance(block, CalibratedBlock) else None, streamed.n_blocks - block.index
            )
        steps.say(f"cutting block {block.index + 1} of {n_blocks}")
        cut = _calibrated_cut(block, cutter) if isinstance(block, CalibratedBlock) else cutter.cut(block, None, None)
        passed = _as_stored(cut, block, streamed, stored)
        yield block.index, passed
    if passed is not None:
        steps.store.save_block(n_blocks - 1, passed, None)


def _calibrated_cut(block: CalibratedBlock, cutter: Cutter) -> CutBlock:
    group = next(group for group in block.groups if cutter.reader in group.names)
    with watching(block.linears[cutter.reader], cutter.unit) as means:
        statistics = block.statistics(group)
    return cutter.cut(block, statistics, means)


def _as_stored(cut: CutBlock, block: Block, streamed: StreamedModel, stored: Mapping[str, torch.dtype]) -> KeptBlock[BlockFacts]:
    """Under the names and in the dtypes of the checkpoint."""
    prefix = streamed.block_prefix(block.index)
    usual = next(stored[name] for name in streamed.block_tensors(block.index) if name.endswith("weight"))
    tensors = {}
    for inside, tensor in cut.parameters.items():
        name = streamed.checkpoint_name(f"{prefix}{inside}")
        tensors[name] = tensor.detach().to(stored.get(name, usual)).cpu().contiguous()
    return KeptBlock(tensors, cut.facts)


def _report(facts: BlockFacts, index: int, steps: Steps) -> None:
    for figures in facts.linears:
        steps.measured("linear_error", figures.error, index, figures.name)
        steps.measured("linear_sparsity", figures.sparsity, index, figures.name)
