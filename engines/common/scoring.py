"""How servers tell the log-probabilities of a given text: each form of answer is one function, which raises RequestError for any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.engine import TokenScore, TopToken
from core.errors import RequestError

_DIGITS = 11


def of_echo(answer: Any, tokens: Sequence[int] | None) -> tuple[TokenScore, ...]:
    """OpenAI's `/v1/completions` with `echo` and `logprobs`: parallel lists, null where nothing comes before a token.

    Servers of this program add `token_ids` and `top_ids`, and leave out the first token instead of a null.
    """
    told = _first_choice(answer).get("logprobs")
    if not isinstance(told, dict):
        raise RequestError("the response has no log-probabilities of the text")
    texts, logprobs = _list(told, "tokens"), _list(told, "token_logprobs")
    numbers = _list(told, "token_ids") or [None] * len(texts)
    named = _list(told, "top_logprobs") or [None] * len(texts)
    numbered = _list(told, "top_ids") or named
    if not len(texts) == len(logprobs) == len(numbers) == len(named) == len(numbered):
        raise RequestError("the lists of tokens and log-probabilities in the response differ in length")
    found = [
        TokenScore(_text(text), _number(value), _index(number), _tops(top, by_name))
        for text, value, number, top, by_name in zip(texts, logprobs, numbers, numbered, named, strict=True)
        if value is not None
    ]
    return _complete(found, tokens)


def of_prompt_logprobs(answer: Any, tokens: Sequence[int] | None) -> tuple[TokenScore, ...]:
    """vLLM's `prompt_logprobs`: null for the first token, then for each place {token number: {logprob, rank, decoded_token}}.

    The text's own token is among them even when it is unlikely, and comes first.
    """
    choice = _first_choice(answer)
    places = choice.get("prompt_logprobs")
    if not isinstance(places, list):
        raise RequestError("the response has no prompt_logprobs")
    numbers: Sequence[Any] = tokens or _list(choice, "prompt_token_ids") or [None] * len(places)
    if len(numbers) != len(places):
        raise RequestError(f"the response scores {len(places)} of the {len(numbers)} tokens sent")
    found = []
    for number, place in zip(numbers, places, strict=True):
        if place is None:
            continue
        if not isinstance(place, dict) or not place:
            raise RequestError("prompt_logprobs does not follow vLLM's documentation")
        top = {key: TopToken(_text(held.get("decoded_token")), _number(held.get("logprob")), int(key)) for key, held in _entries(place)}
        own = top.get(str(number)) if number is not None else next(iter(top.values()))
        if own is None:
            raise RequestError("prompt_logprobs lacks a token of the text itself")
        found.append(TokenScore(own.text, own.logprob, own.token, tuple(top.values())))
    return _complete(found, tokens)


def of_prefill(answer: Any) -> tuple[TokenScore, ...]:
    """TGI's `details.prefill`: {id, text, logprob} a token, the first without a logprob; it names no other tokens."""
    details = answer.get("details") if isinstance(answer, dict) else None
    prefill = details.get("prefill") if isinstance(details, dict) else None
    if not isinstance(prefill, list) or not all(isinstance(entry, dict) for entry in prefill):
        raise RequestError("the response has no details.prefill")
    found = [
        TokenScore(_text(entry.get("text")), _number(entry["logprob"]), _index(entry.get("id")))
        for entry in prefill
        if entry.get("logprob") is not None
    ]
    if not found:
        raise RequestError("details.prefill is empty: newer versions fill it only when started with --enable-prefill-logprobs")
    return tuple(found)


def _first_choice(answer: Any) -> dict[str, Any]:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise RequestError("the response has no choice")
    return choices[0]


def _complete(found: list[TokenScore], tokens: Sequence[int] | None) -> tuple[TokenScore, ...]:
    """All tokens but the first. Raises RequestError when there are others, which would be those of an answer."""
    wanted = None if tokens is None else len(tokens) - 1
    if wanted is not None and len(found) == wanted + 1:
        found = found[1:]
    if not found or (wanted is not None and len(found) != wanted):
        raise RequestError(f"the response scores {len(found)} tokens of the text{'' if wanted is None else f' where {wanted} are expected'}")
    return tuple(found)


def _tops(top: Any, named: Any) -> tuple[TopToken, ...]:
    """Of one place: [number, logprob] pairs, with the texts of {text: logprob} where no two tokens share one; or the latter alone."""
    if isinstance(top, dict):
        return tuple(TopToken(_text(text), _number(value)) for text, value in top.items())
    if isinstance(top, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in top):
        texts = list(named) if isinstance(named, dict) and len(named) == len(top) else [""] * len(top)
        return tuple(TopToken(_text(text), _number(value), _index(number)) for text, (number, value) in zip(texts, top, strict=True))
    if top is None:
        return ()
    raise RequestError("the top log-probabilities in the response do not follow the protocol")


def _entries(place: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    entries = list(place.items())
    if not all(key.isdecimal() and len(key) < _DIGITS and isinstance(held, dict) for key, held in entries):
        raise RequestError("prompt_logprobs does not follow vLLM's documentation")
    return entries


def _list(holder: dict[str, Any], name: str) -> list[Any]:
    value = holder.get(name)
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _index(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= 1e-3:
        raise RequestError("a log-probability in the response is not a number at or below 0")
    return min(float(value), 0.0)
