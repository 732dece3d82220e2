"""A causal language model in two parts: hidden states, and the head that turns them into logits a few rows at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TRIED = 16
"""Tokens on which the two parts are compared with the whole."""
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Predictor:
    """Hidden states of a model and what makes logits of them: `shaped(hidden @ weight.T + bias)`."""

    model: PreTrainedModel | None
    """None: hidden states are there already."""
    decoder: nn.Module | None
    """Gives the last hidden states, its final norm included; None: the model is not built like that, and hidden states are logits already."""
    weight: Tensor | None = None
    """[V, H]; None where hidden states are logits."""
    bias: Tensor | None = None
    """[V]."""
    scale: float = 1.0
    softcap: float | None = None
    vocabulary: int = 0
    """Rows of the head where it has no weight."""

    def head_alone(self) -> Predictor:
        """The same head without the model, which may be given up: it makes logits of hidden states that are there already."""
        weight, bias = (None if tensor is None else tensor.detach().clone() for tensor in (self.weight, self.bias))
        return Predictor(None, None, weight, bias, self.scale, self.softcap, self.words)

    @classmethod
    def of(cls, model: PreTrainedModel) -> Predictor:
        """The two parts, tried on a few tokens: where they do not give the model's own logits, the model is taken as a whole."""
        config = model.config.get_text_config()
        whole = cls(model, None, vocabulary=int(config.vocab_size))
        get_decoder, head = getattr(model, "get_decoder", None), model.get_output_embeddings()  # type: ignore[no-untyped-call]
        decoder = get_decoder() if callable(get_decoder) else None
        if not isinstance(decoder, nn.Module) or decoder is model or not isinstance(head, nn.Linear):
            return whole
        softcap = _number(config, "final_logit_softcapping")
        scale = (_number(config, "logit_scale") or 1.0) / (_number(config, "logits_scaling") or 1.0)
        parts = cls(model, decoder, head.weight, head.bias, scale, softcap)
        return parts if parts._agree() else whole

    @property
    def words(self) -> int:
        """Rows of the head, padding counted."""
        return self.vocabulary if self.weight is None else len(self.weight)

    def hidden(self, tokens: Tensor) -> Tensor:
        """[B, T, H], or logits [B, T, V] of a model that is taken as a whole, of tokens int64 [B, T]."""
        if self.decoder is None:
            assert self.model is not None
            return self.model(input_ids=tokens, use_cache=False).logits  # type: ignore[no-any-return]
        return self.decoder(input_ids=tokens, use_cache=False).last_hidden_state  # type: ignore[no-any-return]

    def shaped(self, products: Tensor) -> Tensor:
        """Logits of products of hidden states and head [..., V]: scaled and capped as the model does it."""
        if self.scale != 1.0:
            products = products * self.scale
        return products if self.softcap is None else self.softcap * torch.tanh(products / self.softcap)

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., V] of hidden states [..., H]."""
        return hidden if self.weight is None else self.shaped(nn.functional.linear(hidden, self.weight, self.bias))

    @torch.no_grad()
    def _agree(self) -> bool:
        assert self.weight is not None
        assert self.model is not None
        tokens = (torch.arange(_TRIED, device=self.weight.device) % len(self.weight))[None]
        training = self.model.training
        self.model.train(False)
        try:
            theirs = self.model(input_ids=tokens, use_cache=False).logits.float()
            ours = self.logits(self.hidden(tokens)).float()
        except (TypeError, AttributeError):
            return False
        finally:
            self.model.train(training)
        return theirs.shape == ours.shape and bool((theirs - ours).abs().max() <= _TOLERANCE * theirs.abs().max())


def _number(config: Any, name: str) -> float | None:
    value = getattr(config, name, None)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
