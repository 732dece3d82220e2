"""Cut the channels of every feed-forward network to the same number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.calibration.blocks import Block
from core.calibration.statistics import InputStatistics
from core.models.card import ModelCard
from core.models.config.families import Family
from core.models.stream.streaming import StreamedModel
from core.prune.pipeline.writer import Written
from core.prune.plan.channels import kept_channels, require_channels
from core.prune.plan.sizes import lost_sizes
from core.prune.plan.surgery import parts_of, require_surgery
from core.prune.result import KeptFigures
from core.prune.spec import PruneSpec
from core.prune.structure.inputs.activations import ActivationMeans
from core.prune.structure.inputs.blockwise import BlockFacts, Config, CutBlock, write_blockwise
from core.prune.structure.inputs.channel_scores import Channels, choose
from core.prune.structure.inputs.removal import Removal, importance_of, remove_inputs
from core.prune.structure.inputs.slices import channel_slices, others
from core.runs.steps import Steps


class _ChannelCutter:
    def __init__(self, spec: PruneSpec, streamed: StreamedModel, card: ModelCard) -> None:
        self._spec, self._streamed, self._card = spec, streamed, card
        self._row: Family = parts_of(card)
        self._width, self.kept = card.intermediate_size, kept_channels(spec.request, card)
        self.reader, self.unit = self._row.down, 1

    def cut(self, block: Block, statistics: InputStatistics | None, means: ActivationMeans | None) -> CutBlock:
        spec, linear = self._spec, block.linears[self.reader]
        channels = Channels(linear.weight.detach().float(), self._feeding(block), statistics, means, spec.damp)
        choice = choose(spec.request.criterion, channels, self._width - self.kept)
        slices = channel_slices(self._row, self._width, others(choice.removed, self._width))
        removal = Removal(self.reader, self._row.gate_up, choice.removed, tuple(slices))
        name = self._streamed.checkpoint_name(f"{self._streamed.block_prefix(block.index)}{self.reader}.weight").removesuffix(".weight")
        cuts, figures = remove_inputs(block, removal, spec.compensation, spec.damp, statistics, means, name)
        importance = importance_of(block.index, "channels", choice.scores, choice.removed)
        return CutBlock(cuts, BlockFacts(linears=[figures], importance=[importance]))

    def config(self, config: Config) -> dict[str, Any]:
        edited = {**config, "intermediate_size": self.kept}
        flag = require_surgery(self._card).mlp_bias
        return edited | {flag: True} if self._spec.compensation == "bias" and flag is not None else edited

    def _feeding(self, block: Block) -> tuple[Tensor, ...]:
        weights = [block.linears[name].weight.detach() for name in self._row.gate_up]
        return tuple(part for weight in weights for part in torch.split(weight, self._width))


class ChannelWriter:
    """Life cycle of the channels method."""

    def steps(self, spec: PruneSpec, streamed: StreamedModel) -> int:
        """One per block."""
        return streamed.n_blocks

    def write(self, spec: PruneSpec, streamed: StreamedModel, windows: Tensor | None, out: Path, steps: Steps) -> Written:
        """Cut and write; see `core.prune.pipeline.writer.Writer`. Raises RequestError: the model cannot be cut as asked."""
        card = ModelCard.from_folder(streamed.folder)
        require_channels(spec.request, card)
        cutter = _ChannelCutter(spec, streamed, card)
        written = write_blockwise(streamed, windows, out, steps, cutter)
        before = card.intermediate_size
        written.kept = [KeptFigures(axis="channels", before=before, after=cutter.kept, lost=lost_sizes(before, cutter.kept))]
        return written


WRITER = ChannelWriter()
