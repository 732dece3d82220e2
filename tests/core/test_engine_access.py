"""Where a server has OpenAI's paths, and redirects."""

from __future__ import annotations

import pytest

from core.benchmark.client.request import address_of
from core.engine import Endpoint, look_up
from core.engine_access import listed, places
from core.errors import RequestError
from tests.core.benchmark.picky import picky


@pytest.mark.parametrize(
    ("base", "given"),
    [
        ("/v1", ""),
        ("/v1", "/"),
        ("/v1", "/v1/"),
        ("/v1beta/openai", "/v1beta/openai"),
        ("/api/paas/v4", "/api/paas/v4/"),
        ("/api/v3", "/api/v3"),
        ("/openai/v1", "/openai"),
        ("/openai", "/openai"),
        ("/v2/team/v1", "/v2/team"),
        ("", ""),
        ("/compatible-mode/v1", "/compatible-mode/v1"),
    ],
)
def test_a_list_is_found_below_every_base(base: str, given: str) -> None:
    with picky(base) as server:
        endpoint, names = listed(look_up("openai"), Endpoint(server.url + given))
        assert names == ("m",)
        assert address_of(endpoint) == f"{server.url}{base}/chat/completions"


def test_an_address_without_a_list_is_named_as_it_was_asked() -> None:
    with picky("/elsewhere") as server, pytest.raises(RequestError, match=f"{server.url}/v1/models answered with HTTP 404: Not Found"):
        listed(look_up("openai"), Endpoint(server.url + "/v1"))
    assert [place.prefix for place in places(Endpoint("http://h/v1beta/openai"))] == ["", "/v1"]


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/v1/models/", "redirects to {url}/v1/models/ (HTTP 307): give the address of a server that answers without a redirect"),
        ("https://llm.example/v1/models", "redirects to https://llm.example/v1/models (HTTP 307): give https://llm.example as the address"),
        ("/proxy/models", "give {url}/proxy as the address"),
        ("/login?next=x", "redirects to {url}/login?next=x (HTTP 307)"),
        ("", "names no other address (HTTP 307)"),
    ],
)
def test_a_redirect_is_named(location: str, words: str) -> None:
    with picky(moved={"/v1/models": location}) as server:
        with pytest.raises(RequestError) as refused:
            listed(look_up("openai"), Endpoint(server.url + "/v1"))
        assert words.format(url=server.url) in str(refused.value)
        assert f"{server.url}/v1/models" in str(refused.value)
