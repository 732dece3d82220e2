"""What stays of every tensor when the hidden state loses columns, and by what it is multiplied so that norms divide by the right width.

RMSNorm divides by the root mean square over all columns, those that are zero included. A model of H' columns therefore equals the one of H with
the others zero only when the weight of each norm is multiplied by √(H/H') and eps by H/H': x / √(Σx²/H + ε) = √(H/H') x / √(Σx²/H' + εH/H').
Families that multiply their embeddings by the root of the hidden size need embeddings times √(H/H') besides. Norms of queries and keys share eps
with the others: queries and keys times √(H/H') make that even in float32; in 16 bits rounding them would cost more than eps does.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import torch
from torch import Tensor

from core.models.config.families import Family
from core.prune.plan.surgery import Surgery


def cut_block(parameters: Mapping[str, Tensor], row: Family, surgery: Surgery, kept: Tensor, width: int) -> dict[str, Tensor]:
    """The parameters of a block that change, by their name inside it.

    Args:
        parameters: of the block by name, in any float dtype.
        row: names of its parts.
        surgery: of the family.
        kept: int64 [kept], hidden columns that stay, ascending.
        width: hidden columns of the original.
    """
    found: dict[str, Tensor] = {}
    factor = sqrt(width / len(kept))
    normed = {f"{name}.{leaf}" for name in row.qkv[:2] for leaf in ("weight", "bias")} if row.qk_norm is not None else set()
    readers = {f"{name}.weight" for name in (*row.qkv, *row.gate_up)}
    writers = {f"{name}.{leaf}" for name in (row.output, row.down) for leaf in ("weight", "bias")}
    for name, tensor in parameters.items():
        if name in readers:
            found[name] = tensor.index_select(1, kept)
        elif name in writers:
            found[name] = tensor.index_select(0, kept)
        elif is_hidden_norm(name, tensor, width):
            found[name] = scaled_norm(tensor.index_select(0, kept), factor, surgery)
        if name in normed and tensor.dtype == torch.float32:
            found[name] = found.get(name, tensor) * factor
    return found


def is_hidden_norm(name: str, tensor: Tensor, width: int) -> bool:
    """Whether a parameter of a block is the weight of a norm of hidden states, and not of queries or keys."""
    return tensor.ndim == 1 and len(tensor) == width and name.endswith("layernorm.weight")


def scaled_norm(weight: Tensor, factor: float, surgery: Surgery) -> Tensor:
    """The weight of a norm that multiplies by `factor` more, computed in float32."""
    offset = 1.0 if surgery.norm == "rms+1" else 0.0
    return ((weight.float() + offset) * factor - offset).to(weight.dtype)


def cut_outer(parameters: Mapping[str, Tensor], surgery: Surgery, kept: Tensor, width: int, *, tied: bool) -> dict[str, Tensor]:
    """The parameters outside the blocks: embedding, last norm, head.

    A tied head is multiplied along with embeddings that are: the last norm, which it follows, makes that even.

    Args:
        parameters: by name.
        surgery: of the family.
        kept: int64 [kept], hidden columns that stay, ascending.
        width: hidden columns of the original.
        tied: whether the head is the embedding.
    """
    factor = sqrt(width / len(kept))
    grown = factor if surgery.scales_embeddings else 1.0
    found: dict[str, Tensor] = {}
    for name, tensor in parameters.items():
        if tensor.ndim == 2:
            columns = tensor.index_select(1, kept)
            is_embedding = name.endswith("embed_tokens.weight") or tied
            found[name] = (columns.float() * grown).to(columns.dtype) if is_embedding and grown != 1 else columns
        else:
            found[name] = scaled_norm(tensor.index_select(0, kept), factor / (grown if tied else 1.0), surgery)
    return found
