"""The heads: small residual networks on the target's last hidden state, one for each token further ahead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import RequestError

_WIDEST = 1024
"""Heads of a large target stay small compared with it."""


@dataclass(frozen=True)
class HeadShape:
    """How the heads are built."""

    heads: int
    """Head i predicts the token i + 2 behind the hidden state's: the next one is the target's own."""
    hidden: int
    """H, width of the target's hidden state."""
    width: int
    """Inner width of a head."""
    vocabulary: int

    def to_json(self) -> dict[str, int]:
        """Plain values."""
        return asdict(self)


class MedusaHeads(nn.Module):
    """One residual block a head: h + W2 silu(W1 [h, e] + b).

    The target's own output head follows every block, so that a head adds only its block (Medusa gives each head a copy of the output
    head). e is the input embedding of the token that the target has just chosen: it is known before the heads are asked, and the first head of
    Hydra (arXiv 2402.05109) reads it too. W2 begins at zero, so that an untrained head says what the target's own head says.

    Args:
        shape: sizes.
        output: the target's output head: [..., H] to logits [..., V].
        embedding: the target's input embedding: int64 [...] to [..., H].
    """

    def __init__(self, shape: HeadShape, output: Callable[[Tensor], Tensor], embedding: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.shape = shape
        # Not submodules: they are the target's, are not trained and are not saved.
        self._target: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] = (output, embedding)
        self.first = nn.ModuleList(nn.Linear(2 * shape.hidden, shape.width) for _ in range(shape.heads))
        self.second = nn.ModuleList(nn.Linear(shape.width, shape.hidden, bias=False) for _ in range(shape.heads))
        for linear in self.second:
            nn.init.zeros_(linear.weight)  # type: ignore[arg-type]
        self._joined: tuple[Tensor, Tensor, Tensor] | None = None

    @classmethod
    def on(cls, model: Any, heads: int, width: int | None = None) -> MedusaHeads:
        """Fresh heads for a transformers causal LM, on its device, in float32.

        Raises:
            RequestError: the model has no output head over its hidden state.
        """
        output, embedding = model.get_output_embeddings(), model.get_input_embeddings()
        hidden, vocabulary = getattr(output, "in_features", None), getattr(output, "out_features", None)
        if hidden is None or vocabulary is None or getattr(embedding, "embedding_dim", None) != hidden:
            raise RequestError(
                "this model's output head does not read the embedding's output, so Medusa heads cannot share it: choose another drafter"
            )
        made = cls(HeadShape(heads, int(hidden), width or min(2 * int(hidden), _WIDEST), int(vocabulary)), output, embedding)
        return made.to(model.device)

    def state(self, head: int, hidden: Tensor, token: Tensor) -> Tensor:
        """What the output head is to read for one head.

        Args:
            head: its number, from 0.
            hidden: [N, H], after the target's final norm.
            token: int64 [N], chosen behind them.

        Returns:
            [N, H].
        """
        read = torch.cat((hidden, self._target[1](token).to(hidden.dtype)), -1)
        inner: Tensor = functional.silu(self.first[head](read))
        state: Tensor = hidden + self.second[head](inner)
        return state

    def output(self, states: Tensor) -> Tensor:
        """Logits [..., V] of states [..., H], by the target's own output head."""
        return self._target[0](states)

    def logits(self, hidden: Tensor, token: Tensor) -> Tensor:
        """Logits of every head, [heads, N, V]; arguments as of `state`."""
        return self.output(torch.stack([self.state(head, hidden, token) for head in range(self.shape.heads)]))

    @torch.inference_mode()
    def candidates(self, hidden: Tensor, token: int, most: int, count: int | None = None) -> Tensor:
        """The likeliest tokens of the first heads: int64 [count, most], the likeliest first.

        Args:
            hidden: [H].
            token: chosen behind it.
            most: how many of each head.
            count: how many heads; all when None.
        """
        heads = self.shape.heads if count is None else count
        first, bias, second = self._join(hidden.dtype)
        inside = heads * self.shape.width
        read = torch.cat((hidden, self._target[1](torch.tensor([token], device=hidden.device))[0].to(hidden.dtype)))
        inner = functional.silu(torch.addmv(bias[:inside], first[:inside], read)).view(heads, 1, self.shape.width)
        states = hidden + torch.bmm(inner, second[:heads])[:, 0]
        return self.output(states).topk(most).indices

    def _join(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """The blocks' weights under each other, in the dtype of the hidden state; kept until the heads are trained on.

        The second ones lie as [heads, width, H]: a product of one row with them takes a fifteenth of the time of one with their transpose.
        """
        if self._joined is None or self._joined[0].dtype != dtype:
            parts = [(first.weight, first.bias, second.weight) for first, second in zip(self.first, self.second, strict=True)]
            first, bias, second = zip(*parts, strict=True)
            self._joined = (torch.cat(first).to(dtype), torch.cat(bias).to(dtype), torch.stack([weight.T for weight in second]).to(dtype))
        return self._joined

    def train(self, mode: bool = True) -> MedusaHeads:
        """As of any module; what was joined for decoding is let go."""
        self._joined = None
        return super().train(mode)
