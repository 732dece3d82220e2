"""The dtypes in which a checkpoint stores its tensors."""

from __future__ import annotations

from collections import Counter

import torch

from core.models.disk.headers import model_tensors
from core.models.disk.tensors import TORCH_DTYPES
from core.models.stream.streaming import StreamedModel


def stored_dtypes(streamed: StreamedModel) -> tuple[dict[str, torch.dtype], torch.dtype]:
    """The dtype of every tensor in the checkpoint, and that of most weights of a block.

    Between blocks the hidden states are kept in the latter, as a forward pass in that dtype would.
    """
    stored = {name: TORCH_DTYPES[location.info.dtype] for name, location in model_tensors(streamed.folder).items()}
    return stored, Counter(stored[name] for name in streamed.block_tensors(0) if stored[name].is_floating_point).most_common(1)[0][0]
