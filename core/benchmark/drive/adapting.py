"""What a server's refusal of the warm-up says of the form of requests: which one to try instead, and what to say of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from core.benchmark.client.outcome import Outcome
from core.benchmark.server.target import REFUSED
from core.benchmark.spec import BenchmarkSpec
from core.engine import Endpoint
from core.engine_access import places

_MISSING = (404, 405)
_LATER = (408, 425, 429)
_NOTES = {
    "stream_options": "the server refuses stream_options: requests omit it, so the server may not report its token counts",
    "max_tokens": "the server refuses max_tokens: requests send max_completion_tokens instead",
    "temperature": "the server refuses temperature 0: requests omit it, and the server samples at its default",
    "ignore_eos": "the server refuses ignore_eos: requests omit it, and responses may end before their full length",
}
_UNKNOWN = re.compile(
    r"\b(un(supported|recognized|recognised|known|expected|processable)|not (supported|permitted|allowed|recognized|available)|extra|forbidden|"
    r"deprecated|invalid|does not (support|accept|allow)|doesn't (support|accept|allow)|no longer|max_completion_tokens)\b",
    re.IGNORECASE,
)
_NO_WORDS = re.compile(r"HTTP #: *(bad request|unprocessable (entity|content))?\.?", re.IGNORECASE)
_NUMBER = re.compile(r"\b(?=\w*\d)[\w-]{8,}|\d+")
_MOST = len(_NOTES) + 1


@dataclass(frozen=True)
class Attempt:
    """Another form of the same requests."""

    endpoint: Endpoint
    notes: tuple[str, ...]
    """What is said where it is taken."""


def adapt(
    spec: BenchmarkSpec, endpoint: Endpoint, outcomes: Sequence[Outcome], send: Callable[[Endpoint], Sequence[Outcome]]
) -> tuple[Attempt, Sequence[Outcome]]:
    """The form of requests that the server takes, or that with which it gets furthest, and what became of them.

    Args:
        spec: the request.
        endpoint: as it was asked first.
        outcomes: of that.
        send: sends the warm-up in another form.
    """
    best = Attempt(endpoint, ())
    for _ in range(_MOST):
        reason = _refusal(outcomes)
        if reason is None:
            break
        for attempt in _attempts(spec, best, *reason):
            found = send(attempt.endpoint)
            if _refusal(found) != reason:
                best, outcomes = attempt, found
                break
        else:
            break
    return best, outcomes


def _refusal(outcomes: Sequence[Outcome]) -> tuple[int | None, str] | None:
    """Status and reason where every request was turned down in the same way, but for the numbers that errors name."""
    found = {(outcome.http, _NUMBER.sub("#", outcome.reason)) for outcome in outcomes if outcome.status == "failed" and outcome.http is not None}
    return found.pop() if len(found) == 1 and all(outcome.status == "failed" for outcome in outcomes) else None


def _attempts(spec: BenchmarkSpec, best: Attempt, status: int | None, reason: str) -> Iterator[Attempt]:
    """Forms to try after a refusal: without the fields that it names; where it names none, without each and then without all."""
    endpoint = best.endpoint
    if endpoint.style not in ("chat", "completions") or status in (*REFUSED, *_LATER):
        return
    if status in _MISSING:
        for place in places(endpoint):
            if place.prefix != endpoint.prefix:
                yield Attempt(place, (*best.notes, f"the server answers at {place.at('/v1/')}"))
        return
    left = [name for name in _sent(spec, endpoint) if name not in endpoint.refuses]
    named = [name for name in left if re.search(rf"\b{name}\b", reason) and (name != "max_tokens" or _UNKNOWN.search(reason))]
    if "include_usage" in reason and "stream_options" in left:
        named.append("stream_options")
    if named:
        yield _without(best, named)
    elif status in (400, 422) and (_UNKNOWN.search(reason) or _NO_WORDS.fullmatch(reason)):
        yield from (_without(best, [name]) for name in left)
        yield _without(best, left)


def _sent(spec: BenchmarkSpec, endpoint: Endpoint) -> Iterator[str]:
    yield "stream_options"
    yield "max_tokens"
    if spec.temperature == 0:
        yield "temperature"
    if endpoint.ignores_eos:
        yield "ignore_eos"


def _without(best: Attempt, names: Sequence[str]) -> Attempt:
    fresh = tuple(dict.fromkeys(names))
    endpoint = replace(best.endpoint, refuses=(*best.endpoint.refuses, *fresh))
    return Attempt(endpoint, (*best.notes, *(_NOTES[name] for name in fresh)))
