"""Complete a checkpoint in which a few tensors were changed: all others, tokenizer, chat template and licence are those of the original."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from core.formats.writing.shards import ShardWriter
from core.models.stream.streaming import StreamedModel


def copy_rest(writer: ShardWriter, streamed: StreamedModel, done: Collection[str], check_cancelled: Callable[[], None]) -> None:
    """Add every tensor of the original that is not done, in its stored dtype, block by block.

    Args:
        writer: of the new checkpoint.
        streamed: the original model.
        done: names in the checkpoint of tensors that were written in another form, or are to be left out.
        check_cancelled: called before each tensor; may raise to cancel.
    """
    for name in _all_tensors(streamed):
        if name not in done:
            check_cancelled()
            writer.add(name, streamed.read_tensor(name))


def _all_tensors(streamed: StreamedModel) -> Iterator[str]:
    for index in range(streamed.n_blocks):
        yield from streamed.block_tensors(index)
    yield from streamed.non_block_tensors()
