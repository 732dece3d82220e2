"""Cut the hidden width of a whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

from core.errors import RequestError
from core.formats.writing.shards import ShardWriter
from core.models.card import ModelCard
from core.models.disk.files import read_object
from core.models.stream.streaming import StreamedModel
from core.prune.pipeline.writer import Written
from core.prune.plan.sizes import lost_sizes
from core.prune.plan.surgery import parts_of, require_surgery
from core.prune.plan.width import kept_columns, require_width
from core.prune.result import KeptFigures
from core.prune.spec import PruneSpec
from core.prune.structure.hidden.scores import pass_and_score
from core.prune.structure.hidden.slices import cut_block, cut_outer
from core.prune.structure.inputs.compensation import lowest
from core.prune.structure.inputs.removal import importance_of
from core.prune.structure.inputs.slices import others
from core.runs.resume_store import KeptBlock
from core.runs.steps import Steps
from core.sanitize import clean


class _Facts(BaseModel):
    """Nothing but its scores is kept of a block."""


class WidthWriter:
    """Life cycle of the width method."""

    def steps(self, spec: PruneSpec, streamed: StreamedModel) -> int:
        """One per block to score it, one to cut it."""
        return 2 * streamed.n_blocks

    def write(self, spec: PruneSpec, streamed: StreamedModel, windows: Tensor | None, out: Path, steps: Steps) -> Written:
        """Score, choose and write; see `core.prune.pipeline.writer.Writer`. Raises RequestError: the model cannot be cut as asked."""
        assert windows is not None
        card = ModelCard.from_folder(streamed.folder)
        require_width(spec.request, card)
        kept_size = kept_columns(spec.request, card)
        steps.say("checking the weights")
        streamed.check_weights(steps.check_cancelled)
        scores = _scores(spec, streamed, card, windows, steps)
        removed = lowest(scores, card.hidden_size - kept_size).sort().values
        kept = others(removed, card.hidden_size)
        written = Written(importance=[importance_of(-1, "hidden width", scores, removed)])
        written.bytes = _write(streamed, card, kept, out, steps)
        written.parameters = ModelCard.from_folder(out).parameters
        written.kept = [KeptFigures(axis="hidden width", before=card.hidden_size, after=kept_size, lost=lost_sizes(card.hidden_size, kept_size))]
        return written


def _scores(spec: PruneSpec, streamed: StreamedModel, card: ModelCard, windows: Tensor, steps: Steps) -> Tensor:
    """float32 [H] on the CPU; continues where the store left it."""
    store, blocks = steps.store, streamed.n_blocks
    begin, hidden = store.blocks, store.hidden
    scores = torch.zeros(card.hidden_size)
    for index in range(begin):
        scores += store.block(index, _Facts).tensors["scores"]
        steps.step(_label("scoring", index + 1, blocks))
    if begin == blocks:
        return scores
    inputs = streamed.capture(windows)
    if hidden is not None:
        inputs.hidden = hidden.to(inputs.hidden)
    for index in range(begin, blocks):
        steps.say(_label("scoring", index, blocks))
        found = pass_and_score(streamed, index, inputs, parts_of(card), spec.request.criterion).cpu()
        scores += found
        store.save_block(index, KeptBlock({"scores": found}, _Facts()), inputs.hidden if index + 1 < blocks else None, blocks - index - 1)
        steps.step(_label("scoring", index + 1, blocks))
    return scores


def _write(streamed: StreamedModel, card: ModelCard, kept: Tensor, out: Path, steps: Steps) -> int:
    """Cut every tensor and write it; returns the bytes of all."""
    row, surgery, width, blocks = parts_of(card), require_surgery(card), card.hidden_size, streamed.n_blocks
    with ShardWriter(out) as writer:
        for index in range(blocks):
            steps.say(_label("cutting", index, blocks))
            prefix = streamed.block_prefix(index)
            inside = {streamed.checkpoint_name(f"{prefix}{name}"): name for name, _ in streamed.blocks.modules[index].named_parameters()}
            stored = {inside[name]: name for name in streamed.block_tensors(index)}
            cuts = cut_block({name: streamed.read_tensor(at) for name, at in stored.items()}, row, surgery, kept, width)
            for name, at in stored.items():
                writer.add(at, cuts[name] if name in cuts else streamed.read_tensor(at))
            steps.step(_label("cutting", index + 1, blocks))
        outer = {name: streamed.read_tensor(name) for name in streamed.non_block_tensors()}
        unknown = next((name for name, tensor in outer.items() if tensor.shape[-1:] != (width,)), None)
        if unknown is not None:
            raise RequestError(f"the tensor {clean(unknown)!r} outside the blocks is not as wide as the hidden state: choose another method")
        for name, tensor in cut_outer(outer, surgery, kept, width, tied=card.tied_embeddings).items():
            steps.check_cancelled()
            writer.add(name, tensor)
        writer.finish(_config(read_object(streamed.folder / "config.json"), streamed, width, len(kept), card.head_dim), streamed.folder)
        return writer.nbytes


def _config(config: dict[str, Any], streamed: StreamedModel, width: int, kept: int, head_dim: int) -> dict[str, Any]:
    """The configuration of the narrower model."""
    eps = float(streamed.config.rms_norm_eps)
    return config | {"hidden_size": kept, "head_dim": head_dim, "rms_norm_eps": eps * width / kept}


def _label(what: str, block: int, blocks: int) -> str:
    return f"{what} block {min(block + 1, blocks)} of {blocks}"


WRITER = WidthWriter()
