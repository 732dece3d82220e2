"""Where an OpenAI-compatible server has its paths: below `/v1`, or right below the address that was given."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlsplit

from core.engine import Endpoint, Engine
from core.errors import RequestError

WITHOUT_LIST = (404, 405, 501)
"""Statuses of a path that a server does not have."""
_OTHER_FORM = 200
_VERSION = re.compile(r"/v\d\w*(/|$)")


def places(endpoint: Endpoint) -> tuple[Endpoint, ...]:
    """The endpoint with each prefix that its address allows, the likeliest first: a path that names a version is taken as the base itself."""
    path = urlsplit(endpoint.url).path.rstrip("/")
    if path.endswith("/v1"):
        return (endpoint,)
    prefixes = ("", "/v1") if _VERSION.search(path) else ("/v1", "")
    return tuple(replace(endpoint, prefix=prefix) for prefix in prefixes)


def listed(engine: Engine, endpoint: Endpoint) -> tuple[Endpoint, tuple[str, ...]]:
    """The endpoint with the prefix under which its models are listed, and their names.

    Raises:
        RequestError: no list under any prefix; what the likeliest answered.
    """
    first: RequestError | None = None
    for place in places(endpoint):
        try:
            return place, engine.models(place)
        except RequestError as error:
            first = first or error
            if getattr(error, "status", None) not in (_OTHER_FORM, *WITHOUT_LIST):
                raise
    assert first is not None
    raise first
