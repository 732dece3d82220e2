"""What is asked: prompts of the wished lengths, and how long the answers may be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core import text
from core.benchmark.spec import BenchmarkSpec
from core.benchmark.workload.lines import numbered_lines
from core.errors import RequestError
from core.sanitize import clean

CHARACTERS_A_TOKEN = 4
"""Of a token, without a tokenizer: an estimate."""
_LARGEST_FILE = 1 << 30
_LONGEST_PROMPT = 2**22
_LONGEST_ANSWER = 2**20
"""Tokens; both as the spec bounds them."""
_LATEST = 1e12
"""Seconds: a trace may be stamped with the time of day, since 1970."""


class Tokenizer(Protocol):
    """As much of a tokenizer as prompts need."""

    def encode(self, text: str) -> Sequence[int]:
        """Tokens of a text, without special ones."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens."""


@dataclass(frozen=True)
class Prompt:
    """One text to ask for."""

    text: str
    output_tokens: int
    input_tokens: int | None
    """By the tokenizer at hand; None where there was none."""
    at: float | None = None
    """Seconds at which a trace has it."""


class Characters:
    """A stand-in without a tokenizer: four characters are counted as one token."""

    def encode(self, text: str) -> Sequence[int]:
        """Parts of four characters, each as one number."""
        return [int.from_bytes(part.ljust(CHARACTERS_A_TOKEN, "\0").encode("utf-32-le"), "little") for part in _parts(text)]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text again."""
        return "".join(token.to_bytes(4 * CHARACTERS_A_TOKEN, "little").decode("utf-32-le") for token in tokens).rstrip("\0")


def _parts(whole: str) -> list[str]:
    return [whole[first : first + CHARACTERS_A_TOKEN] for first in range(0, len(whole), CHARACTERS_A_TOKEN)]


def lengths(mean: int, deviation: float, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Lengths of a normal distribution, whole, at least 1 and at most twice the mean, so that the mean stays."""
    if deviation == 0:
        return np.full(count, mean, dtype=np.int64)
    drawn = np.rint(generator.normal(mean, deviation, count))
    return np.clip(drawn, 1, max(2 * mean - 1, 1)).astype(np.int64)


def prompts_of(spec: BenchmarkSpec, tokenizer: Tokenizer | None) -> list[Prompt]:
    """The texts of a spec, cut with a tokenizer where there is one. Raises RequestError: the file that holds them cannot be used."""
    file = spec.trace if spec.load == "trace" else None if spec.prompts == "builtin" else spec.prompts
    if file is not None:
        found = file_prompts(Path(file).expanduser(), tokenizer, spec.output_tokens)
        return found if spec.load == "trace" else [found[index % len(found)] for index in range(spec.requests)]
    return builtin_prompts(
        tokenizer,
        count=spec.requests,
        input_tokens=(spec.input_tokens, spec.input_deviation),
        output_tokens=(spec.output_tokens, spec.output_deviation),
        shared_prefix=spec.shared_prefix,
        seed=spec.seed,
    )


def builtin_prompts(
    tokenizer: Tokenizer | None, *, count: int, input_tokens: tuple[int, float], output_tokens: tuple[int, float], shared_prefix: int, seed: int
) -> list[Prompt]:
    """Stretches of held-out source text, no two alike, behind a prefix that all share.

    Args:
        tokenizer: cuts them; None: four characters are taken for a token.
        count: prompts.
        input_tokens: mean and standard deviation of their length, prefix included.
        output_tokens: the same of the longest answer.
        shared_prefix: tokens.
        seed: of the places and lengths.
    """
    generator = np.random.default_rng(seed)
    inputs = np.maximum(lengths(*input_tokens, count, generator), shared_prefix + 1)
    outputs = lengths(*output_tokens, count, generator)
    source = _Stretches(tokenizer, int(inputs.max()), count)
    prefix = source.at(0, shared_prefix)
    places = generator.permutation(max(source.size - shared_prefix, count))[:count] + shared_prefix
    prompts = []
    for place, size, answer in zip(places.tolist(), inputs.tolist(), outputs.tolist(), strict=True):
        tokens = prefix + source.at(place, size - shared_prefix)
        prompts.append(Prompt(source.cutter.decode(tokens), answer, size if tokenizer is not None else None))
    return prompts


class _Stretches:
    """Tokens of the built-in text, as often over as they are needed."""

    def __init__(self, tokenizer: Tokenizer | None, longest: int, count: int) -> None:
        self.cutter: Tokenizer = Characters() if tokenizer is None else tokenizer
        whole = list(self.cutter.encode(text.load(text.BUILTIN).text[: 64 * (longest + 4 * count) + (1 << 18)]))
        self.size = len(whole)
        self._tokens = whole * (longest // max(self.size, 1) + 2)

    def at(self, place: int, length: int) -> list[int]:
        return self._tokens[place % self.size :][:length]


def file_prompts(path: Path, tokenizer: Tokenizer | None, output_tokens: int) -> list[Prompt]:
    """Prompts of a JSONL file: `prompt` or `input_tokens`, perhaps `output_tokens` and `timestamp` (seconds), a line each.

    Raises:
        RequestError: the file cannot be read, is empty, or a line is not such an object; the line is named.
    """
    lines = numbered_lines(path, _LARGEST_FILE, "has no requests: give one JSON object per line")
    made = _Made(tokenizer)
    return [_prompt(line, place, made, output_tokens) for line, place in lines]


class _Made:
    """Texts of a length for lines that give no text; each line has its own."""

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self.tokenizer = tokenizer
        self._source: _Stretches | None = None
        self._place = 0

    def text(self, length: int) -> str:
        if self._source is None or length > self._source.size:
            self._source = _Stretches(self.tokenizer, length, 1024)
        self._place += length
        return self._source.cutter.decode(self._source.at(self._place, length))


def _prompt(line: str, where: str, made: _Made, output_tokens: int) -> Prompt:
    try:
        found: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise RequestError(f"{where} is not JSON: {error.msg} (column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{where} is not JSON: {clean(str(error), limit=120)}") from error
    if not isinstance(found, dict):
        raise RequestError(f"{where} is not a JSON object")
    answer = _whole(found.get("output_tokens", output_tokens), "output_tokens", where, _LONGEST_ANSWER)
    at = found.get("timestamp")
    if at is not None and (isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at <= _LATEST):
        raise RequestError(f"{where}: timestamp is not a number of seconds from 0")
    given = found.get("prompt")
    if isinstance(given, str) and given:
        return Prompt(given, answer, len(made.tokenizer.encode(given)) if made.tokenizer is not None else None, at)
    if "input_tokens" not in found:
        raise RequestError(f"{where} has neither prompt nor input_tokens")
    wanted = _whole(found["input_tokens"], "input_tokens", where, _LONGEST_PROMPT)
    return Prompt(made.text(wanted), answer, wanted if made.tokenizer is not None else None, at)


def _whole(value: Any, name: str, where: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise RequestError(f"{where}: {name} is not a whole number from 1 to {most}")
    return value
