"""A server that runs already: whether its address may be kept in files, the key for it, and where its paths are."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from urllib.parse import urlsplit

from core.engine import Endpoint, Engine
from core.errors import RequestError
from core.sanitize import clean, conceal

OPENAI_KEY = "OPENAI_API_KEY"
WITHOUT_LIST = (404, 405, 501)
"""Statuses of a path that a server does not have."""
_ADDRESS = re.compile(r"(localhost|[\w-]+(\.[\w-]+)+|\[[0-9a-fA-F:]+\]):\d+(/|$)")
_PATHS = ("/completions", "/models", "/generate_stream", "/api/generate", "/api/chat", "/health", "/metrics")
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


def check_address(text: str, whose: str) -> None:
    """Raises ValueError for an address without http://, without a host, or with what is secret in it, which it does not repeat."""
    if _ADDRESS.match(text):
        raise ValueError(f"{clean(text, limit=80)} is not a model: the address of a server starts with http:// or https://")
    if not text.startswith(("http://", "https://")):
        return
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise ValueError(f"the address of {whose} has no host or an invalid port: write for example http://127.0.0.1:8000")
    if parts.path.rstrip("/").endswith(_PATHS):
        raise ValueError(f"the address of {whose} includes an endpoint path: give it up to the port, or up to /v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(
            f"the address of {whose} has a name, a password or a query in it, and it is written to files: "
            "give the address alone, and the key in the variable that key-env names"
        )


def server_key(address: str, variable: str | None, *, insecure: bool = False) -> str | None:
    """The key for a server, from the environment; nothing that this process says shows it from now on.

    OpenAI's variable is only read for a server whose certificate is checked.

    Args:
        address: of the server.
        variable: that holds the key; None: OpenAI's.
        insecure: whether any certificate is accepted.

    Raises:
        RequestError: the named variable is not set, or holds what cannot be sent in a header.
    """
    if variable is None:
        key = os.environ.get(OPENAI_KEY) if address.startswith("https://") and not insecure else None
    elif not (key := os.environ.get(variable)):
        raise RequestError(
            f"the environment variable {variable}, which should hold the server's key, is not set: set it, or start on a terminal to be asked for it"
        )
    if not key:
        return None
    conceal(key)
    if not key.isascii() or not key.isprintable() or key != key.strip():
        name = variable or OPENAI_KEY
        raise RequestError(f"the key in the environment variable {name} has spaces, line breaks or non-ASCII characters: set it again")
    return key
