"""Cut the heads of every block to the same number: whole KV groups, or the same number of query heads of every group."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.calibration.blocks import Block
from core.calibration.statistics import InputStatistics
from core.models.card import ModelCard
from core.models.stream.streaming import StreamedModel
from core.prune.pipeline.writer import Written
from core.prune.plan.heads import HeadPlan, head_plan, require_heads
from core.prune.plan.sizes import lost_sizes
from core.prune.plan.surgery import parts_of, require_surgery
from core.prune.result import Axis, KeptFigures
from core.prune.spec import PruneSpec
from core.prune.structure.inputs.activations import ActivationMeans
from core.prune.structure.inputs.blockwise import BlockFacts, Config, CutBlock, write_blockwise
from core.prune.structure.inputs.head_scores import Units, choose
from core.prune.structure.inputs.removal import Removal, importance_of, remove_inputs
from core.prune.structure.inputs.slices import columns_of, head_slices, others
from core.runs.steps import Steps


class _HeadCutter:
    def __init__(self, spec: PruneSpec, streamed: StreamedModel, card: ModelCard) -> None:
        self._spec, self._streamed, self._card = spec, streamed, card
        self._row, self._width = parts_of(card), card.head_dim
        self.plan: HeadPlan = head_plan(spec.request, card)
        self._groups = spec.heads == "groups"
        self.reader = self._row.output
        self.unit = self._width * (self.plan.before.per_group if self._groups else 1)

    @property
    def axis(self) -> Axis:
        """As results call it."""
        return "KV groups" if self._groups else "query heads per group"

    def cut(self, block: Block, statistics: InputStatistics | None, means: ActivationMeans | None) -> CutBlock:
        assert statistics is not None
        assert means is not None
        spec, before, after = self._spec, self.plan.before, self.plan.after
        weight = block.linears[self.reader].weight.detach().float()
        units = Units(weight, self.unit, 1 if self._groups else before.groups, statistics, means, spec.damp)
        remove = before.groups - after.groups if self._groups else before.queries - after.queries
        choice = choose(spec.request.criterion, units, remove)
        groups, queries = self._kept(choice.removed)
        slices = head_slices(self._row, queries, groups, (before.queries, before.groups), self._width)
        removal = Removal(self.reader, self._row.qkv, columns_of(choice.removed, self.unit), tuple(slices))
        name = self._streamed.checkpoint_name(f"{self._streamed.block_prefix(block.index)}{self.reader}.weight").removesuffix(".weight")
        cuts, figures = remove_inputs(block, removal, spec.compensation, spec.damp, statistics, means, name)
        if self._row.qk_norm == "width":
            self._mask_normed(block, queries, groups)
        return CutBlock(cuts, BlockFacts(linears=[figures], importance=[importance_of(block.index, self.axis, choice.scores, choice.removed)]))

    def config(self, config: Config) -> dict[str, Any]:
        heads = {"num_attention_heads": self.plan.after.queries, "num_key_value_heads": self.plan.after.groups, "head_dim": self._width}
        flag = require_surgery(self._card).attention_bias
        return {**config, **heads} | ({flag: True} if self._spec.compensation == "bias" and flag is not None else {})

    def _kept(self, removed: Tensor) -> tuple[Tensor, Tensor]:
        """KV heads and query heads that stay."""
        before = self.plan.before
        if self._groups:
            groups = others(removed, before.groups)
            return groups, columns_of(groups, before.per_group)
        return torch.arange(before.groups, device=removed.device), others(removed, before.queries)

    def _mask_normed(self, block: Block, queries: Tensor, groups: Tensor) -> None:
        """Let the block in memory norm the queries and keys that stay among themselves, as the smaller one will."""
        for linear, norm, heads, count in (
            (self._row.qkv[0], "self_attn.q_norm", queries, self.plan.before.queries),
            (self._row.qkv[1], "self_attn.k_norm", groups, self.plan.before.groups),
        ):
            gone = columns_of(others(heads, count), self._width)
            weight = block.linears[linear].weight
            weight.data.index_fill_(0, gone, 0)
            if block.linears[linear].bias is not None:
                block.linears[linear].bias.data.index_fill_(0, gone, 0)
            block.module.get_parameter(f"{norm}.weight").data.mul_(sqrt(len(heads) / count))


class HeadWriter:
    """Life cycle of the heads method."""

    def steps(self, spec: PruneSpec, streamed: StreamedModel) -> int:
        """One per block."""
        return streamed.n_blocks

    def write(self, spec: PruneSpec, streamed: StreamedModel, windows: Tensor | None, out: Path, steps: Steps) -> Written:
        """Cut and write; see `core.prune.pipeline.writer.Writer`. Raises RequestError: the model cannot be cut as asked."""
        card = ModelCard.from_folder(streamed.folder)
        require_heads(spec.request, card)
        cutter = _HeadCutter(spec, streamed, card)
        written = write_blockwise(streamed, windows, out, steps, cutter)
        before, after = cutter.plan.before, cutter.plan.after
        sizes = (before.groups, after.groups) if spec.heads == "groups" else (before.per_group, after.per_group)
        lost = lost_sizes(before.queries * card.head_dim, after.queries * card.head_dim)
        written.kept = [KeptFigures(axis=cutter.axis, before=sizes[0], after=sizes[1], lost=lost)]
        if parts_of(card).qk_norm == "width":
            written.notes.append("queries and keys are normed over all heads: those that stay are normed among themselves")
        return written


WRITER = HeadWriter()
