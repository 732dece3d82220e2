"""When requests arrive and how long they are: made by a rule, or read from a file."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import RequestError
from core.kvcache.pages.spec import PagesSpec
from core.sanitize import clean

MOST_REQUESTS = 1_000_000
SPREAD = 0.7
"""Standard deviation of the logarithm of a length (Poisson traces): some are several times as long as most."""
_LONGEST = 16
"""Times the mean; longer ones are cut."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of a trace."""

    time: float
    """Seconds."""
    prompt: int
    output: int
    """Tokens that it will generate."""


def trace_of(spec: PagesSpec, context: int) -> list[Arrival]:
    """The trace that a request asks for, in order of arrival. What is made by a rule is cut to the model's context; a file stays as it is.

    Raises:
        RequestError: a file that cannot be read, is empty, or has a damaged line.
    """
    arrivals = _TRACES[spec.trace](spec)
    return arrivals if spec.trace == "file" else [_cut(arrival, context) for arrival in arrivals]


def described(spec: PagesSpec) -> str:
    """The trace in words."""
    if spec.trace == "file":
        return f"trace from {clean(Path(spec.trace_file or '').name, limit=80)}"
    lengths = f"{spec.input_tokens} prompt tokens and {spec.output_tokens} output tokens, cut to the context"
    if spec.trace == "fixed":
        return f"{spec.arrivals} requests, one every {1 / spec.rate:.4g} s, each of {lengths}"
    arrivals = f"{spec.arrivals} requests, Poisson at {spec.rate:g} per second"
    return f"{arrivals}, log-normal lengths (sigma {SPREAD}) with means of {lengths}, seed {spec.seed}"


def fixed(spec: PagesSpec) -> list[Arrival]:
    """Equal requests at equal distances."""
    return [Arrival(index / spec.rate, spec.input_tokens, spec.output_tokens) for index in range(spec.arrivals)]


def poisson(spec: PagesSpec) -> list[Arrival]:
    """Independent arrivals at a mean rate, lengths log-normal around their means."""
    draw, time, found = random.Random(spec.seed), 0.0, []
    for _ in range(spec.arrivals):
        time += draw.expovariate(spec.rate)
        found.append(Arrival(time, _length(draw, spec.input_tokens), _length(draw, spec.output_tokens)))
    return found


def from_file(spec: PagesSpec) -> list[Arrival]:
    """One request a line of JSON: arrival_s, prompt_tokens, output_tokens; empty lines are passed over."""
    path = Path(spec.trace_file or "").expanduser()
    name = clean(str(path), limit=200)
    found: list[Arrival] = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    found.append(_parsed(line, f"line {number} of {name}"))
                if len(found) > MOST_REQUESTS:
                    raise RequestError(f"{name} has more than {MOST_REQUESTS:,} requests: give a shorter trace")
    except OSError as error:
        raise RequestError(f"cannot read the trace {name}: {error.strerror or error}") from error
    if not found:
        raise RequestError(f"the trace {name} is empty: give at least one line with arrival_s, prompt_tokens and output_tokens")
    return sorted(found, key=lambda arrival: arrival.time)


def _parsed(line: bytes, where: str) -> Arrival:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        raise RequestError(f"{where} is not JSON: write an object with arrival_s, prompt_tokens and output_tokens") from None
    if not isinstance(entry, dict):
        raise RequestError(f"{where} is not a JSON object: write arrival_s, prompt_tokens and output_tokens in one")
    time = _number(entry, "arrival_s", where)
    if not math.isfinite(time) or time < 0:
        raise RequestError(f"{where} has an arrival_s of {time}: give seconds from 0")
    lengths = [_number(entry, name, where) for name in ("prompt_tokens", "output_tokens")]
    for name, value in zip(("prompt_tokens", "output_tokens"), lengths, strict=True):
        if not 1 <= value <= 2**31 or value != int(value):
            raise RequestError(f"{where} has {name} = {value}: give a whole number of at least 1")
    return Arrival(float(time), int(lengths[0]), int(lengths[1]))


def _number(entry: dict[str, object], name: str, where: str) -> int | float:
    value = entry.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(f"{where} has no number {name}: give arrival_s, prompt_tokens and output_tokens")
    return value


def _cut(arrival: Arrival, context: int) -> Arrival:
    prompt = min(arrival.prompt, max(context - 1, 1))
    return Arrival(arrival.time, prompt, max(min(arrival.output, context - prompt), 1))


def _length(draw: random.Random, mean: int) -> int:
    drawn = draw.lognormvariate(math.log(mean) - SPREAD**2 / 2, SPREAD)
    return min(max(round(drawn), 1), _LONGEST * mean)


_TRACES: dict[str, Callable[[PagesSpec], list[Arrival]]] = {"fixed": fixed, "poisson": poisson, "file": from_file}
