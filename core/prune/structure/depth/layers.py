"""Leave out whole blocks, and write the others as a model of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from core.formats.writing.depth import config_of_blocks, write_blocks
from core.models.card import ModelCard
from core.models.stream.streaming import StreamedModel
from core.prune.pipeline.writer import Written
from core.prune.plan.layers import removed_layers, require_layers
from core.prune.result import KeptFigures
from core.prune.spec import PruneSpec
from core.prune.structure.depth.scores import Search, Sums, agreements, block_scores, chosen_at_once
from core.prune.structure.depth.walk import LayerWalk, Sizes
from core.runs.steps import Steps

_SEARCH = "layers"


class LayerWriter:
    """Life cycle of the layers method."""

    def steps(self, spec: PruneSpec, streamed: StreamedModel) -> int:
        """One per block that is read to measure; of a text with fewer windows than asked for the rest is skipped."""
        sizes = _sizes(spec, streamed)
        rounds = removed_layers(spec.request, ModelCard.from_folder(streamed.folder)) if spec.criterion == "greedy" else 1
        return sizes.shares(spec.calibration_samples) * sum(sizes.reads(streamed.n_blocks - done) for done in range(rounds)) + 1

    def write(self, spec: PruneSpec, streamed: StreamedModel, windows: Tensor | None, out: Path, steps: Steps) -> Written:
        """Measure, choose and write; see `core.prune.pipeline.writer.Writer`. Raises RequestError: the model cannot be cut as asked."""
        assert windows is not None
        card = ModelCard.from_folder(streamed.folder)
        require_layers(spec.request, card)
        remove = removed_layers(spec.request, card)
        config_of_blocks(streamed, range(streamed.n_blocks - remove))
        steps.say("checking the weights")
        streamed.check_weights(steps.check_cancelled)
        search = _Search(spec, streamed, windows, steps, remove).run()
        removed = sorted(search.removed) if spec.criterion == "greedy" else chosen_at_once(spec.request.criterion, search.first, remove)
        kept = [block for block in range(streamed.n_blocks) if block not in removed]
        written = Written(blocks=block_scores(search, removed))
        written.agreement = agreements(written.blocks)
        steps.say("writing")
        written.bytes = write_blocks(streamed, kept, out, steps.check_cancelled)
        steps.step("written")
        written.parameters = ModelCard.from_folder(out).parameters
        written.kept = [KeptFigures(axis="layers", before=streamed.n_blocks, after=len(kept))]
        return written


class _Search:
    """Which blocks go: one round of measurements, or one for each block of a greedy search; continues where the store left it."""

    def __init__(self, spec: PruneSpec, streamed: StreamedModel, windows: Tensor, steps: Steps, remove: int) -> None:
        self._streamed, self._steps = streamed, steps
        self._rounds = remove if spec.criterion == "greedy" else 1
        self._greedy = spec.criterion == "greedy"
        self._done = Search.model_validate(steps.store.get(_SEARCH) or {})
        self._walk = LayerWalk(streamed, windows, remove, self._on_block)
        self._shares = self._walk.sizes.shares(len(windows))
        self._planned = _sizes(spec, streamed).shares(spec.calibration_samples)
        self._round = 0

    def run(self) -> Search:
        found, blocks = self._done, self._streamed.n_blocks
        for number in range(self._rounds):
            self._round = number
            alive = [block for block in range(blocks) if block not in found.removed[:number]]
            sums = found.first if number == 0 else found.current
            finished = number < len(found.removed)
            reads = self._walk.sizes.reads(len(alive))
            self._steps.skip(reads * (self._planned - self._shares + (self._shares if finished else sums.shares)))
            if finished:
                continue
            self._steps.say(self._label(0, alive))
            self._walk.measure(alive, sums, lambda _sums: self._remember())
            kl = sums.mean_kl()
            if number == 0:
                for block, value in zip(alive, kl, strict=True):
                    self._steps.measured("block_kl", value, block, f"block {block}")
            if self._greedy:
                at = min(range(len(kl)), key=lambda at: (kl[at], at))
                found.removed.append(alive[at])
                found.kl_at_removal.append(kl[at])
                found.current = Sums()
                self._remember()
        return found

    def _remember(self) -> None:
        if self._steps.store.active:
            self._steps.store.put(_SEARCH, self._done.model_dump(mode="json"))

    def _on_block(self, block: int) -> None:
        self._steps.step(self._label(block + 1, range(self._streamed.n_blocks)))

    def _label(self, block: int, alive: Sequence[int]) -> str:
        which = f"choosing layer {self._round + 1} of {self._rounds}" if self._greedy else "measuring"
        return f"{which}: block {min(block, max(alive)) + 1} of {self._streamed.n_blocks}"


def _sizes(spec: PruneSpec, streamed: StreamedModel) -> Sizes:
    width = int(streamed.config.get_text_config().hidden_size)
    return Sizes.of(spec.calibration_length, width, streamed.dtype.itemsize, streamed.n_blocks)


WRITER = LayerWriter()
