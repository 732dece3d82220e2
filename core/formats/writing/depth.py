"""Write some of a model's blocks as a model of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import RequestError, RunFailed
from core.formats.writing.shards import ShardWriter
from core.models.config.per_block import PERIODS, lists_per_block, unknown_lists
from core.models.disk.files import read_object
from core.models.stream.streaming import StreamedModel


def write_blocks(streamed: StreamedModel, kept: Sequence[int], out: Path, check_cancelled: Callable[[], None]) -> int:
    """Copy the tensors of the blocks that stay, renumbered, and all outside the blocks; returns their bytes.

    Args:
        streamed: the original.
        kept: numbers of blocks, ascending.
        out: folder that receives the checkpoint; appears under its name when it is whole.
        check_cancelled: called between tensors; may raise.

    Raises:
        RequestError: the configuration describes blocks in a way that is not known.
        RunFailed: transformers would give the blocks other roles, or the disk is full.
    """
    config = config_of_blocks(streamed, kept)
    with ShardWriter(out) as writer:
        for new, old in enumerate(kept):
            for name in streamed.block_tensors(old):
                check_cancelled()
                writer.add(renumbered(name, old, new), streamed.read_tensor(name))
        for name in streamed.non_block_tensors():
            check_cancelled()
            writer.add(name, streamed.read_tensor(name))
        writer.finish(config, streamed.folder)
        return writer.nbytes


def config_of_blocks(streamed: StreamedModel, kept: Sequence[int]) -> dict[str, Any]:
    """config.json of the blocks that are kept, checked with transformers. Errors as of `write_blocks`."""
    lists = lists_per_block(streamed.config.get_text_config().to_dict(), streamed.n_blocks)
    if (refused := unknown_lists(tuple(lists))) is not None:
        raise RequestError(refused)
    config = cut_config(read_object(streamed.folder / "config.json"), lists, kept)
    made = type(streamed.config).from_dict(dict(config)).to_dict()
    for name, values in lists.items():
        if list(made.get(name) or ()) != [values[block] for block in kept]:
            raise RunFailed(f"transformers would read another {name} from the new config.json than the blocks had: choose another method")
    return config


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
