"""What the requests of the warm-up say of the whole load: where all are refused in the same way, the load would be too."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

from core.benchmark.client.outcome import Outcome
from core.benchmark.client.request import address_of
from core.benchmark.server.target import REFUSED, Target, refused_key
from core.benchmark.spec import BenchmarkSpec
from core.errors import RequestError
from core.sanitize import clean

_LATER = frozenset({408, 425, 429})
"""Statuses of a request that may go well the next time."""
_TOO_LONG = re.compile(r"context|too (long|large|many tokens)|max(imum)?[ _-]?(model[ _-]?)?(len|tokens|input|position)|exceed", re.IGNORECASE)
_FORM = "does not stream responses in this form"


def refuse(spec: BenchmarkSpec, target: Target, outcomes: Sequence[Outcome]) -> None:
    """Nothing, when any request was answered, or failed as a server under load fails requests.

    Raises:
        RequestError: the server refuses the key, the lengths or the request itself, or does not speak the protocol; and what to change.
    """
    if not outcomes or not all(map(_refused, outcomes)):
        return
    (status, reason), _ = Counter((outcome.http, outcome.reason) for outcome in outcomes).most_common(1)[0]
    server, words = clean(spec.model if spec.is_url else target.endpoint.url, limit=200), clean(reason, limit=300)
    if status is not None and 300 <= status < 400:
        raise RequestError(f"{server} rejects the request: {words}")
    if status in REFUSED:
        raise RequestError(refused_key(spec, int(status or 0)))
    if _TOO_LONG.search(reason):
        raise RequestError(f"{server} rejects requests of this length ({words}): lower input-tokens or output-tokens")
    if status in (404, 405):
        path = urlsplit(address_of(target.endpoint)).path
        raise RequestError(f"{server} does not answer at {path} ({words}): check the address, engine, style and model name")
    raise RequestError(f"{server} rejects the request: {words}")


def answered_nothing(outcomes: Sequence[Outcome]) -> str:
    """Why a load has no figures, in a sentence; "" when a request was answered, or none was sent."""
    if any(outcome.status == "done" for outcome in outcomes):
        return ""
    reasons = Counter(outcome.reason for outcome in outcomes if outcome.status in ("failed", "timed_out"))
    if not reasons:
        return ""
    (reason, count), *others = reasons.most_common()
    more = f" ({count} of them; {len(others)} other reasons)" if others else ""
    return f"none of {len(outcomes)} requests was answered: {clean(reason, limit=300)}{more}"


def _refused(outcome: Outcome) -> bool:
    if outcome.status != "failed":
        return False
    return (outcome.http is not None and 300 <= outcome.http < 500 and outcome.http not in _LATER) or _FORM in outcome.reason
