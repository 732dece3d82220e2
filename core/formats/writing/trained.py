"""Write a trained model as the checkpoint that it was read from, with other values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from core.errors import RunFailed
from core.formats.writing.copy_rest import copy_rest
from core.formats.writing.shards import ShardWriter
from core.models.disk.files import read_object
from core.models.stream.stored_dtypes import stored_dtypes
from core.models.stream.streaming import StreamedModel
from core.sanitize import clean


def write_trained(model: nn.Module, source: Path, out: Path, check_cancelled: Callable[[], None]) -> None:
    """The parameters under their names in the checkpoint and in its dtypes; the rest is copied.

    Args:
        model: as transformers builds it from `source`.
        source: folder that the model was read from.
        out: folder that receives the result; appears under its name when it is whole.
        check_cancelled: called between tensors; may raise.

    Raises:
        RunFailed: a parameter is not stored as it is (a quantized checkpoint), or the disk is full.
    """
    with StreamedModel.open(source) as streamed, ShardWriter(out) as writer:
        stored, usual = stored_dtypes(streamed)
        done: set[str] = set()
        for name, parameter in model.named_parameters():
            inside = streamed.checkpoint_name(name)
            if inside not in stored:
                raise RunFailed(f"{clean(name, limit=200)} is not stored as it is, and cannot be written: give an unquantized checkpoint")
            writer.add(inside, parameter.detach().to(stored.get(inside, usual)).cpu())
            done.add(inside)
        tied = {streamed.checkpoint_name(name) for name, _ in model.named_parameters(remove_duplicate=False)}
        copy_rest(writer, streamed, done | tied, check_cancelled)
        writer.finish(read_object(source / "config.json"), source)
