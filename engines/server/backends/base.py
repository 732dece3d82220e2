"""What a backend is to the server: text in, tokens out, one request at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class GenerationRequest:
    """What is asked of a model, checked."""

    prompt: Sequence[int]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    logprobs: int = 0
    """How many alternatives are reported of each token; 0: none, and no probability."""


@dataclass(frozen=True)
class TokenProbability:
    """A token, how likely it was, and the likeliest."""

    token: int
    logprob: float
    """Natural logarithm, after no warping: what the model says."""
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class GenerationChunk:
    """What one step adds."""

    text: str
    tokens: tuple[int, ...] = ()
    finish: str | None = None
    """`stop` or `length` with the last."""
    probabilities: tuple[TokenProbability, ...] = field(default=())


class Backend(Protocol):
    """A model that is loaded."""

    name: str
    context: int
    vocabulary: int
    """Numbers of tokens are below this."""
    words: str
    """How it computes, in a line."""

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Tokens of a text; with `special` those that open one too."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens."""

    def chat(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Tokens of a conversation up to the answer, by the model's chat template, else as plain lines."""

    def generate(self, request: GenerationRequest, stopped: Callable[[], bool]) -> Iterator[GenerationChunk]:
        """Answer, a step at a time; `stopped` is asked before each step."""

    def score(self, tokens: Sequence[int], top: int) -> list[TokenProbability]:
        """How likely each token after the first is, given those before it. Raises RequestError where the backend cannot say."""


def plain_chat(messages: Sequence[dict[str, str]]) -> str:
    """A conversation for a model without a chat template: the texts under each other."""
    return "\n".join(message["content"] for message in messages if message["content"]) + "\n"
