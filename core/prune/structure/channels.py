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
from core.prune.structure.activations import ActivationMeans
from core.prune.structure.bias import bias_error, bias_for, set_bias
from core.prune.structure.blockwise import BlockFacts, Config, CutBlock, figures_of, importance_of, put_back, write_blockwise
from core.prune.structure.channel_scores import Channels, choose
from core.prune.structure.compensation import refit
from core.prune.structure.slices import by_name, channel_slices, cut, others
from core.runs.steps import Steps


class _ChannelCutter:
    def __init__(self, spec: PruneSpec, streamed: StreamedModel, card: ModelCard) -> None:
        self._spec, self._streamed, self._card = spec, streamed, card
        self._row: Family = parts_of(card)
        self._width, self.kept = card.intermediate_size, kept_channels(spec.request, card)
        self.reader = self._row.down

    def cut(self, block: Block, statistics: InputStatistics | None, means: ActivationMeans | None) -> CutBlock:
        linear, damp = block.linears[self.reader], self._spec.damp
        original = linear.weight.detach().to(torch.float32, copy=True)
        channels = Channels(original, self._feeding(block), statistics, means, damp)
        choice = choose(self._spec.criterion, channels, self._width - self.kept)
        kept = others(choice.removed, self._width)
        masked = original.index_fill(1, choice.removed, 0)
        if self._spec.compensation == "least-squares" and statistics is not None:
            result = put_back(linear, kept, refit(original, statistics.hessian, kept, choice.removed, damp))
        else:
            result = masked
            put_back(linear, kept, original.index_select(1, kept))
        added = bias_for(original, choice.removed, means) if self._spec.compensation == "bias" else None
        slices = by_name(channel_slices(self._row, self._width, kept))
        parameters = dict(block.module.named_parameters())
        cuts = {name: cut(parameters[name], of_name) for name, of_name in slices.items() if name in parameters}
        if added is not None:
            cuts |= self._biases(block, added, cuts)
        name = self._streamed.checkpoint_name(f"{self._streamed.block_prefix(block.index)}{self.reader}.weight").removesuffix(".weight")
        bias = None if added is None else lambda weight: bias_error(original, weight, statistics, means)
        return CutBlock(
            cuts,
            BlockFacts(
                linears=[figures_of(name, block.index, original, masked, result, statistics, bias)],
                importance=[importance_of(block.index, "channels", choice.scores, choice.removed)],
            ),
        )

    def config(self, config: Config) -> dict[str, Any]:
        edited = {**config, "intermediate_size": self.kept}
        flag = require_surgery(self._card).mlp_bias
        return edited | {flag: True} if self._spec.compensation == "bias" and flag is not None else edited

    def _feeding(self, block: Block) -> tuple[Tensor, ...]:
        weights = [block.linears[name].weight.detach() for name in self._row.gate_up]
        return tuple(part for weight in weights for part in torch.split(weight, self._width))

    def _biases(self, block: Block, added: Tensor, cuts: dict[str, Tensor]) -> dict[str, Tensor]:
        """The bias of down, and zeros for the linears that have none but must, because one flag of the configuration gives all of them biases."""
        zeros = {
            f"{name}.bias": cuts[f"{name}.weight"].new_zeros(len(cuts[f"{name}.weight"]))
            for name in self._row.gate_up
            if block.linears[name].bias is None
        }
        return {**zeros, f"{self.reader}.bias": set_bias(block.linears[self.reader], added)}


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
