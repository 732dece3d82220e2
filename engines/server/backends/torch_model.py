"""What the two torch backends share: a tokenizer, a chat template, scores of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from core.errors import RequestError
from core.models.load import load_tokenizer
from core.models.resolve import resolve
from core.models.source import require_folder
from core.runtime.generate import eos_tokens
from core.runtime.prompts import prompt_tokens
from core.sanitize import clean
from engines.server.backends.base import TokenProbability, plain_chat


class TorchModel:
    """A model in memory and its tokenizer."""

    def __init__(self, model_name: str, model: Any, context: int | None) -> None:
        source = resolve(model_name)
        config = model.config.get_text_config(decoder=True)
        self.name = source.title
        self.model = model
        self.tokenizer: Any = load_tokenizer(require_folder(source))
        own = int(getattr(config, "max_position_embeddings", 0) or 0)
        if context is not None and own and context > own:
            raise RequestError(f"a context of {context} tokens exceeds the {own} of {self.name}: lower it")
        self.context = context or own or 4096
        self.ends = eos_tokens(model)
        self.vocabulary = int(config.vocab_size)

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Tokens of a text to be continued; `special`: with what the tokenizer puts before one."""
        return prompt_tokens(self.tokenizer, text) if special else list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=False))

    def chat(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Tokens of a conversation up to the answer."""
        if getattr(self.tokenizer, "chat_template", None) is None:
            return self.encode(plain_chat(messages))
        try:
            text = self.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
        except Exception as error:  # a template is a program, and raises what it likes
            raise RequestError(f"the chat template of {self.name} cannot be applied: {clean(str(error), limit=200)}") from error
        return self.encode(str(text), special=False)

    @torch.inference_mode()
    def score(self, tokens: Sequence[int], top: int) -> list[TokenProbability]:
        """How likely each token after the first is."""
        rows = torch.tensor([list(tokens)], device=self.model.device)
        return probabilities(self.model(rows).logits[0, :-1], rows[0, 1:], top)


def probabilities(logits: Tensor, tokens: Tensor, top: int) -> list[TokenProbability]:
    """Of tokens int64 [n] under logits [n, V]: log-probabilities in float32, and the `top` likeliest."""
    logs = logits.float().log_softmax(-1)
    own = logs.gather(1, tokens[:, None])[:, 0].tolist()
    likeliest = logs.topk(max(top, 1), dim=-1)
    return [
        TokenProbability(token, value, tuple(zip(ids, values, strict=True))[:top])
        for token, value, ids, values in zip(tokens.tolist(), own, likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
    ]
