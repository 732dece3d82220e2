"""Leave out whole blocks, and write the others as a model of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from core.errors import RequestError, RunFailed
from core.formats.writing.shards import ShardWriter
from core.models.card import ModelCard
from core.models.config.per_block import lists_per_block
from core.models.disk.files import read_object
from core.models.stream.streaming import StreamedModel
from core.prune.pipeline.writer import Written
from core.prune.plan.layers import PERIODS, removed_layers, require_layers, unknown_lists
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
        lists = _lists(streamed)
        steps.say("checking the weights")
        streamed.check_weights(steps.check_cancelled)
        search = _Search(spec, streamed, windows, steps, remove).run()
        removed = sorted(search.removed) if spec.criterion == "greedy" else chosen_at_once(spec.request.criterion, search.first, remove)
        kept = [block for block in range(streamed.n_blocks) if block not in removed]
        config = cut_config(read_object(streamed.folder / "config.json"), lists, kept)
        _check_config(streamed, config, lists, kept)
        written = Written(blocks=block_scores(search, removed))
        written.agreement = agreements(written.blocks)
        steps.say("writing")
        written.bytes = _write(streamed, kept, config, out, steps)
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


def cut_config(config: Mapping[str, Any], lists: Mapping[str, Sequence[Any]], kept: Sequence[int]) -> dict[str, Any]:
    """The configuration of the blocks that are kept.

    Args:
        config: contents of config.json.
        lists: fields with one item per block, as transformers fills them in.
        kept: numbers of blocks, ascending.
    """
    edited = {name: value for name, value in config.items() if not (lists and name in PERIODS)}
    return edited | {"num_hidden_layers": len(kept)} | {name: [values[block] for block in kept] for name, values in lists.items()}


def renumbered(name: str, old: int, new: int) -> str:
    """Name of a tensor of block `old` once the block is number `new`."""
    parts = name.split(".")
    parts[parts.index(str(old))] = str(new)
    return ".".join(parts)


def _sizes(spec: PruneSpec, streamed: StreamedModel) -> Sizes:
    width = int(streamed.config.get_text_config().hidden_size)
    return Sizes.of(spec.calibration_length, width, streamed.dtype.itemsize, streamed.n_blocks)


def _lists(streamed: StreamedModel) -> dict[str, list[Any]]:
    """Fields with one item per block, from the configuration as transformers fills it in. Raises RequestError: one that is not known."""
    lists = lists_per_block(streamed.config.get_text_config().to_dict(), streamed.n_blocks)
    if (refused := unknown_lists(tuple(lists))) is not None:
        raise RequestError(refused)
    return lists


def _check_config(streamed: StreamedModel, config: Mapping[str, Any], lists: Mapping[str, Sequence[Any]], kept: Sequence[int]) -> None:
    """Nothing, when transformers gives the blocks the roles that they had. Raises RunFailed: it does not."""
    made = type(streamed.config).from_dict(dict(config)).to_dict()
    for name, values in lists.items():
        if list(made.get(name) or ()) != [values[block] for block in kept]:
            raise RunFailed(f"transformers would read another {name} from the new config.json than the blocks had: choose another method")


def _write(streamed: StreamedModel, kept: Sequence[int], config: Mapping[str, Any], out: Path, steps: Steps) -> int:
    """Copy the tensors of the blocks that stay, renumbered, and all outside the blocks; returns their bytes."""
    with ShardWriter(out) as writer:
        for new, old in enumerate(kept):
            for name in streamed.block_tensors(old):
                steps.check_cancelled()
                writer.add(renumbered(name, old, new), streamed.read_tensor(name))
        for name in streamed.non_block_tensors():
            steps.check_cancelled()
            writer.add(name, streamed.read_tensor(name))
        writer.finish(config, streamed.folder)
        return writer.nbytes


WRITER = LayerWriter()
