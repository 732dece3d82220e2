"""Where a student begins: a checkpoint as it is, or one that is written of the teacher's blocks."""

from __future__ import annotations

from pathlib import Path

import torch

from core.distill.student.blocks import kept_blocks
from core.formats.writing.depth import write_blocks
from core.models.source import ModelSource
from core.models.stream.streaming import StreamedModel
from core.runs.steps import Steps


def new_student(teacher: ModelSource, blocks: int, folder: Path, dtype: torch.dtype, steps: Steps) -> None:
    """Write evenly spread blocks of the teacher as a model, unless an earlier start of the run has written it.

    Args:
        teacher: the model whose blocks are copied.
        blocks: how many the student keeps.
        folder: of the student.
        dtype: arithmetic of the teacher; tensors are copied as they are stored.
        steps: says what is done, raises to cancel.

    Raises:
        RequestError: the teacher's configuration describes blocks in a way that is not known.
        RunFailed: the disk is full.
    """
    if folder.is_dir():
        return
    steps.say(f"making a student of {blocks} blocks")
    with StreamedModel.open(teacher, dtype) as streamed:
        write_blocks(streamed, kept_blocks(streamed.n_blocks, blocks), folder, steps.check_cancelled)
