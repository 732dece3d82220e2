"""Servers that cannot be measured: one sentence says what is wrong, where, and what to change; and keys, which nothing shows."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from core import sanitize
from core.benchmark.check import check
from core.benchmark.client.load import Load, run_load
from core.benchmark.client.outcome import Outcome
from core.benchmark.client.request import Request, body_of
from core.benchmark.drive.trial import refuse
from core.benchmark.result import BenchmarkResult
from core.benchmark.run import run
from core.benchmark.server.target import Target, key_of, reference_of
from core.benchmark.spec import BenchmarkSpec
from core.engine import Endpoint, look_up
from core.errors import RequestError, RunFailed
from tests.core.benchmark.refusing import TOO_LONG, refusing
from tests.core.conftest import RecordingContext

KEY = "sk-sEcReT-0123456789abcdef"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("THE_KEY", KEY)
    monkeypatch.setattr(sanitize, "_SECRETS", set())


def spec_of(url: str, **values: Any) -> BenchmarkSpec:
    usual = {"model": url, "requests": 3, "concurrency": 1, "output_tokens": 4, "input_tokens": 16, "warmup": 1}
    spec = BenchmarkSpec.parse(usual | values)
    assert isinstance(spec, BenchmarkSpec)
    return spec


def measured(url: str, context: RecordingContext, **values: Any) -> BenchmarkResult:
    spec = spec_of(url, **values)
    check(spec, None)
    return run(spec, context)


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("good", {"served_model": "gamma"}, ("does not serve gamma", "it serves alpha, beta")),
        ("401", {}, ("requires a key (HTTP 401)", "--key-env")),
        ("401", {"key_env": "THE_KEY"}, ("rejects the key in the environment variable THE_KEY (HTTP 401)",)),
        ("403", {"key_env": "THE_KEY"}, ("rejects the key in the environment variable THE_KEY (HTTP 403)",)),
        ("html", {}, ("/v1/models did not answer with JSON", "check the address")),
        ("404", {}, ("HTTP 404: a web page: Welcome It works", "check the address", "--served-model")),
        ("a list", {}, ("does not list its models as OpenAI's protocol does",)),
        ("tls", {}, ("is not trusted", "--insecure")),
    ],
)
def test_a_server_that_is_not_as_it_should_be_is_refused(
    kind: str, values: dict[str, Any], words: tuple[str, ...], context: RecordingContext
) -> None:
    with refusing(kind) as server, pytest.raises(RequestError) as refused:
        measured(server.url, context, **values)
    assert all(word in str(refused.value) for word in (server.url, *words))
    assert KEY not in str(refused.value)
    assert "\x1b" not in str(refused.value)


def test_a_server_that_refuses_the_warm_up_is_not_given_the_load(context: RecordingContext) -> None:
    with refusing("post html") as server, pytest.raises(RequestError) as refused:
        measured(server.url, context)
    assert f"{server.url} rejects the request: the server does not stream responses in this form (text/html)" in str(refused.value)
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("http", "reason", "values", "words"),
    [
        (401, "HTTP 401: no", {}, "requires a key (HTTP 401)"),
        (401, "HTTP 401: no", {"key_env": "THE_KEY"}, "rejects the key in the environment variable THE_KEY (HTTP 401)"),
        (404, "HTTP 404: no", {}, "does not answer at /v1/chat/completions (HTTP 404: no): check the address"),
        (404, "HTTP 404: no", {"style": "completions"}, "does not answer at /v1/completions (HTTP 404: no): check the address"),
        (400, TOO_LONG, {}, f"rejects requests of this length ({TOO_LONG}): lower input-tokens"),
        (308, "HTTP 308: Permanent Redirect", {}, "rejects the request: HTTP 308"),
        (422, f"HTTP 422: {KEY}\x1b[31m", {"key_env": "THE_KEY"}, "rejects the request: HTTP 422: [key]"),
    ],
)
def test_what_the_warm_up_says_of_the_load(http: int, reason: str, values: dict[str, Any], words: str) -> None:
    spec = spec_of("http://127.0.0.1:1", **values)
    key_of(spec)
    target = Target(look_up("openai"), Endpoint(spec.model, style="completions" if "style" in values else "chat"), "x")
    failed, fine = Outcome(0, "failed", 0, http=http, reason=reason), Outcome(1, "done", 0, http=200)
    refuse(spec, target, [failed, fine])
    with pytest.raises(RequestError) as refused:
        refuse(spec, target, [failed, failed])
    assert words in str(refused.value)
    assert KEY not in str(refused.value)
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(("http", "reason"), [(429, "HTTP 429: slow down"), (500, "HTTP 500: oops"), (None, "the server closed the connection")])
def test_what_a_server_under_load_says_does_not_stop_it(http: int | None, reason: str) -> None:
    spec = spec_of("http://127.0.0.1:1")
    refuse(spec, Target(look_up("openai"), Endpoint(spec.model), "x"), [Outcome(0, "failed", 0, http=http, reason=reason)] * 2)
    refuse(spec, Target(look_up("openai"), Endpoint(spec.model), "x"), [])


@pytest.mark.parametrize(
    ("kind", "word"), [("post 401", "HTTP 401: Incorrect API key provided: Bearer [key]"), ("tells", "no such key: Bearer [key]")]
)
def test_a_load_of_which_nothing_is_answered_has_failed_and_keeps_its_account(kind: str, word: str, context: RecordingContext) -> None:
    with refusing(kind) as server, pytest.raises(RunFailed, match="none of 3 requests was answered") as failed:
        measured(server.url, context, warmup=0, key_env="THE_KEY")
    result = failed.value.result
    assert isinstance(result, BenchmarkResult)
    (entry,) = result.entries
    assert (entry.requests.scheduled, entry.requests.failed) == (3, 3)
    assert word in entry.errors[0].reason
    assert set(server.heads) == {f"Bearer {KEY}"}
    for text in (str(failed.value), result.model_dump_json(), *context.lines, repr(context.details)):
        assert KEY not in text


def test_nobody_at_an_address(context: RecordingContext) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RequestError, match=f"no answer from {url}: Connection refused"):
            measured(url, context)


def test_a_certificate_that_is_not_trusted_can_be_passed_over(context: RecordingContext) -> None:
    with refusing("tls") as server:
        result = measured(server.url, context, insecure=True, requests=1, warmup=0)
    assert result.entries[0].requests.done == 1


def test_a_server_without_tls_is_not_called_untrusted(context: RecordingContext) -> None:
    with refusing("good") as server, pytest.raises(RequestError, match="does not speak TLS: write http://"):
        measured(server.url.replace("http://", "https://"), context)


def test_a_server_that_names_no_models_is_asked_all_the_same(context: RecordingContext) -> None:
    with refusing("unnamed") as server:
        assert measured(server.url, context, requests=1, warmup=0).entries[0].requests.done == 1
    with refusing("404") as server:
        assert measured(server.url, context, served_model="mine", requests=1, warmup=0).entries[0].served_model == "mine"
    assert server.bodies[-1]["model"] == "mine"


def test_a_rate_that_is_not_reached_is_told(context: RecordingContext) -> None:
    with refusing("slow") as server:
        (entry,) = measured(server.url, context, load="constant", rate=100, requests=5, warmup=0).entries
    assert any("the rate of 100 requests per second was not reached" in warning for warning in entry.warnings)
    assert any("waited in the client" in warning for warning in entry.warnings)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("http://me:pa55word@127.0.0.1:8000", ("a name, a password or a query", "key-env")),
        ("https://127.0.0.1:8000/?api_key=pa55word", ("a name, a password or a query",)),
        ("http://127.0.0.1:8000#pa55word", ("a name, a password or a query",)),
        ("http://", ("no host",)),
        ("http://127.0.0.1:8000/v1/chat/completions", ("up to /v1",)),
        ("http://127.0.0.1:8000/v1/models/", ("up to /v1",)),
        ("http://127.0.0.1:99999", ("invalid port",)),
        ("127.0.0.1:8000", ("starts with http://",)),
        ("localhost:8000/v1", ("starts with http://",)),
        ("llm.example.com:443", ("starts with http://",)),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_what_is_secret(model: str, words: tuple[str, ...]) -> None:
    for values in ({"model": model}, {"model": "http://127.0.0.1:1", "quality_tokens": 64, "quality_reference": model}):
        with pytest.raises(RequestError) as refused:
            BenchmarkSpec.parse(values)
        assert all(word in str(refused.value) for word in words)
        assert "pa55word" not in str(refused.value)


def test_models_are_not_taken_for_addresses() -> None:
    for model in ("bundled:base", "org/model", "./folder", "a.gguf", "C:model", "https://llm.example/openai/v1"):
        assert BenchmarkSpec.parse({"model": model}).model == model


def test_which_key_goes_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    assert key_of(spec_of("http://127.0.0.1:1")) is None
    assert key_of(spec_of("https://llm.example")) == "sk-openai"
    assert key_of(spec_of("https://llm.example", insecure=True)) is None
    assert key_of(spec_of("https://llm.example", insecure=True, key_env="THE_KEY")) == KEY
    spec = spec_of("https://llm.example/v1", key_env="THE_KEY", insecure=True)
    assert reference_of(spec, "https://llm.example").key == KEY
    assert reference_of(spec, "https://other.example").key is None
    assert reference_of(spec, "http://llm.example").key is None
    assert not reference_of(spec, "https://other.example").verify


def test_a_key_that_is_not_there_or_cannot_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match="NO_SUCH_KEY, which should hold the server's key, is not set"):
        check(spec_of("http://127.0.0.1:1", key_env="NO_SUCH_KEY"), None)
    for key in ("two\nlines", "käse-käse", " spaced"):
        monkeypatch.setenv("THE_KEY", key)
        with pytest.raises(RequestError, match="the key in the environment variable THE_KEY has spaces") as refused:
            check(spec_of("http://127.0.0.1:1", key_env="THE_KEY"), None)
        assert key not in str(refused.value)


def test_a_secret_is_hidden_before_a_text_is_cut() -> None:
    sanitize.conceal(KEY)
    for limit in range(4, 60):
        assert "sk-s" not in sanitize.clean(f"the key {KEY} is bad", limit=limit)
    assert sanitize.clean(f"a{KEY}b") == "a[key]b"
    sanitize.conceal("abc")
    assert sanitize.clean("abc") == "abc"


@pytest.mark.parametrize("wanted", [True, False])
def test_answers_of_full_length_are_asked_for_or_not(wanted: bool, context: RecordingContext) -> None:
    with refusing("good") as server:
        measured(server.url, context, engine="vllm", ignore_eos=wanted, requests=1, warmup=0)
    assert [body.get("ignore_eos", False) for body in server.bodies] == [wanted]


@pytest.mark.parametrize(("kind", "scheme", "words"), [("tls", "https", "is not trusted"), ("good", "https", "does not speak TLS")])
def test_a_load_says_what_is_wrong_with_tls(kind: str, scheme: str, words: str) -> None:
    with refusing(kind) as server:
        target = Endpoint(f"{scheme}://{server.url.partition('://')[2]}", "alpha")
        (outcome,) = run_load(Load(target, [Request(0, 0, body_of(target, "x", 2))], concurrency=1, closed=True)).outcomes
    assert outcome.status == "failed"
    assert words in outcome.reason
