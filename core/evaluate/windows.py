"""Cut a row of tokens into the windows that a model sees, and say which targets of each count."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import RequestError
from core.evaluate.spec import Scoring


@dataclass(frozen=True)
class Windows:
    """Equal windows of a token row.

    tokens: int64 [N, T]. begin: int64 [N], index in the row of each window's first token. first_target: int64 [N],
    the tokens from this position of a window on are scored, each given the tokens before it in the window.
    """

    tokens: Tensor
    begin: Tensor
    first_target: Tensor

    @property
    def n_scored(self) -> int:
        """Targets that count, over all windows."""
        return int((self.tokens.shape[1] - self.first_target).sum())

    def scored_positions(self) -> Tensor:
        """Indices in the token row of all scored targets, int64 [n_scored], in window order."""
        length = self.tokens.shape[1]
        spans = [torch.arange(begin + first, begin + length) for begin, first in zip(self.begin.tolist(), self.first_target.tolist(), strict=True)]
        return torch.cat(spans)


def windows_of(tokens: Tensor, context: int, stride: int | None = None, *, scoring: Scoring = "all-targets", bos: int | None = None) -> Windows:
    """Windows of `context` tokens.

    Side by side by default, as the GPTQ papers have them: the rest that fills no window is dropped, and a window's first token
    is not a target. With a `stride` below the context, windows overlap and each token of the row but the first is scored once, given at least
    `context - stride` tokens; the last window ends with the row.

    Args:
        tokens: int64 [n] or [1, n].
        context: tokens of a window.
        stride: step between windows; None or `context`: side by side.
        scoring: `llama.cpp` scores the targets after position context/2 (llama.cpp/tools/perplexity).
        bos: token that replaces each window's first one, as llama.cpp does; None leaves the text as it is.

    Raises:
        RequestError: the row does not fill one window, or the numbers make no windows.
    """
    row = tokens.reshape(-1).long()
    if context < 2 or (stride is not None and not 1 <= stride <= context):
        raise RequestError(f"context {context} and stride {stride} make no windows: context must be 2 or more, stride from 1 to context")
    if len(row) < context:
        raise RequestError(f"the text has {len(row)} tokens, and one window needs {context}: give a longer text or a smaller --context")
    begin, first_target = _plan(len(row), context, context if stride is None else stride)
    cut = torch.stack([row[start : start + context] for start in begin.tolist()])
    if scoring == "llama.cpp":
        first_target = torch.full_like(begin, context // 2 + 1)
    if bos is not None:
        cut[:, 0] = bos
    return Windows(cut, begin, first_target)


def _plan(length: int, context: int, stride: int) -> tuple[Tensor, Tensor]:
    begin = torch.arange(0, length - context + 1, stride)
    if stride < context and int(begin[-1]) != length - context:
        begin = torch.cat([begin, torch.tensor([length - context])])
    scored_until = torch.cat([torch.ones(1, dtype=torch.int64), begin[:-1] + context])
    return begin, (scored_until - begin).clamp(min=1)
