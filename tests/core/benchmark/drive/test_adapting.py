"""Servers that refuse fields of OpenAI's requests: the warm-up finds the form that they take, and the result says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from core.benchmark.client.outcome import Outcome
from core.benchmark.drive.adapting import adapt
from core.benchmark.result import BenchmarkResult
from core.benchmark.run import run
from core.benchmark.spec import BenchmarkSpec
from core.engine import Endpoint
from core.errors import RequestError
from tests.core.benchmark.picky import Refusal, picky
from tests.core.conftest import RecordingContext

FORMS = {
    "Unrecognized request argument supplied: {}": 400,
    "Unsupported parameter: '{}' is not supported with this model": 400,
    "{}: Extra inputs are not permitted": 422,
    "property '{}' is unsupported, did you mean something else": 400,
    "the server ended the stream: {} is not allowed here": 200,
}
SILENT = {"HTTP 422: Unprocessable Entity": 422, "HTTP 400: unexpected field": 400}


def spec_of(url: str = "http://127.0.0.1:1", **values: Any) -> BenchmarkSpec:
    usual = {"model": url, "requests": 2, "concurrency": 1, "output_tokens": 4, "input_tokens": 16, "warmup": 1}
    spec = BenchmarkSpec.parse(usual | values)
    assert isinstance(spec, BenchmarkSpec)
    return spec


class Picker:
    """A server that refuses the first of some fields that it is sent."""

    def __init__(self, fields: Sequence[str], words: str, status: int) -> None:
        self._fields, self._words, self._status = fields, words, status
        self.tries = 0

    def send(self, endpoint: Endpoint) -> list[Outcome]:
        self.tries += 1
        left = [name for name in self._fields if name not in endpoint.refuses]
        if not left:
            return [Outcome(0, "done", 0, http=200)] * 2
        return [
            Outcome(0, "failed", 0, http=self._status, reason=f"{self._words.format(left[0])} (request req-{number}e{self.tries}77aa)")
            for number in range(2)
        ]


@pytest.mark.parametrize("words", FORMS)
@pytest.mark.parametrize(
    "fields", [["stream_options"], ["max_tokens"], ["temperature", "ignore_eos"], ["max_tokens", "stream_options", "temperature"]]
)
def test_what_a_refusal_names_is_left_out(words: str, fields: list[str]) -> None:
    picker, endpoint = Picker(fields, words, FORMS[words]), Endpoint("http://h", ignores_eos=True)
    taken, outcomes = adapt(spec_of(), endpoint, picker.send(endpoint), picker.send)
    assert (set(taken.endpoint.refuses), outcomes[0].status) == (set(fields), "done")
    assert all(any(name in note for note in taken.notes) for name in fields)
    assert picker.tries == 1 + len(fields)


@pytest.mark.parametrize("words", SILENT)
@pytest.mark.parametrize("fields", [["stream_options"], ["max_tokens"], ["temperature"]])
def test_a_refusal_that_names_nothing_is_tried_field_by_field(words: str, fields: list[str]) -> None:
    picker, endpoint = Picker(fields, words, SILENT[words]), Endpoint("http://h")
    first = [Outcome(0, "failed", 0, http=SILENT[words], reason=words)]
    taken, _ = adapt(spec_of(), endpoint, first, lambda place: picker.send(place) if set(fields) <= set(place.refuses) else first)
    assert taken.endpoint.refuses == tuple(fields)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "max_tokens is too large: 4096. This model has a maximum context length of 16 tokens"),
        (401, "stream_options: who are you"),
        (429, "temperature: slow down"),
        (400, "model 'x' was not found in the catalogue"),
        (503, "overloaded"),
    ],
)
def test_other_refusals_are_left_alone(status: int, reason: str) -> None:
    outcomes = [Outcome(0, "failed", 0, http=status, reason=reason)]
    taken, same = adapt(spec_of(), Endpoint("http://h"), outcomes, lambda _endpoint: pytest.fail("it was sent again"))
    assert (taken.endpoint, taken.notes, same) == (Endpoint("http://h"), (), outcomes)


def test_a_temperature_that_was_asked_for_is_not_left_out() -> None:
    outcomes = [Outcome(0, "failed", 0, http=400, reason="HTTP 400: temperature: Extra inputs are not permitted")]
    sent: list[Endpoint] = []

    def send(endpoint: Endpoint) -> list[Outcome]:
        sent.append(endpoint)
        return outcomes

    taken, _ = adapt(spec_of(temperature=0.7), Endpoint("http://h"), outcomes, send)
    assert not taken.notes
    assert not any("temperature" in endpoint.refuses for endpoint in sent)


def refuses(*names: str) -> Refusal:
    def refusal(body: dict[str, Any]) -> tuple[int, Any] | None:
        left = [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"} for name in names if name in body]
        return (422, {"detail": left}) if left else None

    return refusal


def measured(url: str, context: RecordingContext, **values: Any) -> BenchmarkResult:
    return run(spec_of(url, **values), context)


def test_a_load_is_sent_in_the_form_that_the_server_takes(context: RecordingContext) -> None:
    with picky("/api/paas/v4", refuses("stream_options", "max_tokens", "temperature")) as server:
        (entry,) = measured(f"{server.url}/api/paas/v4/", context).entries
    assert (entry.requests.done, entry.requests.failed) == (2, 0)
    assert server.bodies[-1].keys() == {"model", "messages", "max_completion_tokens", "stream"}
    assert len([warning for warning in entry.warnings if "the server refuses" in warning]) == 3
    assert any("max_completion_tokens instead" in line for line in context.lines)


def test_a_base_that_only_the_warm_up_can_find_is_found(context: RecordingContext) -> None:
    with picky("", lists=False) as server:
        (entry,) = measured(server.url, context, served_model="m").entries
    assert entry.requests.done == 2


def test_a_redirect_of_the_load_is_named(context: RecordingContext) -> None:
    with picky(moved={"/v1/chat/completions": "https://llm.example/v1/chat/completions"}) as server, pytest.raises(RequestError) as refused:
        measured(server.url, context)
    assert "redirects to https://llm.example/v1/chat/completions (HTTP 308): give https://llm.example as the address" in str(refused.value)
