"""What servers that speak OpenAI's protocol have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from prometheus_client.parser import text_string_to_metric_families

from core.benchmark.client.replies import DIALECTS
from core.benchmark.client.request import openai_body
from core.engine import Command, Endpoint, EngineFacts, Found, Missing, Readiness, ServerFigures, ServeSpec, TimedText, TokenScore
from core.errors import RequestError
from core.sanitize import clean
from engines.common import http, scoring

_SCORING = 300.0
_GENERATION = 600.0


class OpenAiServer:
    """An engine whose server answers `/v1/models`, `/v1/chat/completions` and perhaps `/health` and Prometheus' `/metrics`."""

    facts: EngineFacts
    health: ClassVar[str | None] = "/health"
    """Path that answers 200 when the server is ready; None: `/v1/models` is asked instead."""
    gauges: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Field of ServerFigures to the names of the metrics that are summed for it."""
    shares: ClassVar[tuple[str, ...]] = ("kv_usage",)
    """Fields of which not the sum but the largest counts."""
    complaints: ClassVar[Sequence[tuple[str, str]]] = ()
    """Expression over a line of the log, and what to do; the first that matches counts."""

    def find(self) -> Found | Missing:
        """The installed version, or why there is none."""
        return Missing(f"{self.facts.title} is not started by this program: start it, then give its address")

    def command(self, spec: ServeSpec, found: Found, port: int) -> Command:
        """Arguments of a server."""
        del spec, found, port
        raise RequestError(f"{self.facts.title} is not started by this program: start it, then give its address")

    def readiness(self, endpoint: Endpoint) -> Readiness:
        """Whether the server answers."""
        try:
            if self.health is not None:
                http.get(endpoint, self.health, timeout=2.0)
            else:
                self.models(endpoint)
        except http.StatusError as error:
            return Readiness("loading" if error.status in (200, 503, 404, 500, 502) else "failed", str(error))
        except RequestError as error:
            return Readiness("loading", str(error))
        return Readiness("ready")

    def models(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Names that the server goes by."""
        answer = http.get_json(endpoint, "/v1/models")
        listed = answer.get("data") if isinstance(answer, dict) else None
        names = [entry.get("id") for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else None
        if names is None:
            sentence = "does not list its models as OpenAI's protocol does: check the address, and which server it is"
            raise http.StatusError(200, f"{clean(endpoint.url)} {sentence}")
        return tuple(clean(name, limit=200) for name in names if isinstance(name, str))

    def figures(self, endpoint: Endpoint) -> ServerFigures:
        """One look at the metrics; empty where there are none."""
        if not self.gauges:
            return ServerFigures()
        try:
            text = http.get(endpoint, "/metrics", timeout=2.0).decode(errors="replace")
        except RequestError:
            return ServerFigures()
        return ServerFigures(**read_metrics(text, self.gauges, self.shares))

    def generate(self, endpoint: Endpoint, prompt: str, max_tokens: int, temperature: float = 0.0) -> Iterator[TimedText]:
        """Text of one request as it comes."""
        body = openai_body(replace(endpoint, ignores_eos=False), prompt, max_tokens, temperature)
        yield from timed(endpoint, "/v1/chat/completions" if endpoint.style == "chat" else "/v1/completions", body, "openai")

    def score(self, endpoint: Endpoint, text: str, tokens: Sequence[int] | None, top: int) -> tuple[TokenScore, ...]:
        """How likely a text is, token by token: the echo of `/v1/completions`, where the server knows it."""
        body = {
            "model": endpoint.model,
            "prompt": text if tokens is None else list(tokens),
            "max_tokens": 0,
            "echo": True,
            "logprobs": top,
            "temperature": 0,
        }
        return self._scored(endpoint, "/v1/completions", body, lambda answer: scoring.of_echo(answer, tokens))

    def _scored(
        self, endpoint: Endpoint, path: str, body: Mapping[str, Any], read: Callable[[Any], tuple[TokenScore, ...]]
    ) -> tuple[TokenScore, ...]:
        """What a form of answer reads out of a request; every refusal says whose it is."""
        try:
            return read(http.post_json(endpoint, path, body, timeout=_SCORING))
        except RequestError as error:
            raise RequestError(f"{self.facts.title} returns no log-probabilities of a given text here: {error}") from error

    def explain(self, log: Sequence[str]) -> str:
        """The line of a log that matters, and what to do."""
        for line in reversed(log):
            for expression, remedy in (*self.complaints, *COMPLAINTS):
                if re.search(expression, line, re.IGNORECASE):
                    return f"{clean(line.strip(), limit=200)}: {remedy}"
        return ""


def timed(endpoint: Endpoint, path: str, body: Mapping[str, Any], dialect: str) -> Iterator[TimedText]:
    """The answer to a request in a dialect, each piece with its time; last the counts.

    Raises:
        RequestError: the server is not there, refuses, or breaks off.
    """
    reads = list(http.stream(endpoint, path, body, whole=_GENERATION))
    reply = DIALECTS[dialect](reads)
    if reply.fault:
        raise RequestError(f"{clean(endpoint.url)}: {reply.fault}")
    yield from (TimedText(piece.t, piece.text) for piece in reply.pieces)
    yield TimedText(reads[-1][0] if reads else 0, "", reply.usage.prompt, reply.usage.completion)


COMPLAINTS: Sequence[tuple[str, str]] = (
    (r"out of memory|cannot allocate memory|std::bad_alloc", "lower context, concurrency or gpu-memory, or use a smaller or quantized model"),
    (r"address already in use|errno 98", "the port is in use: give another, or 0 for a free one"),
    (r"no module named|modulenotfounderror", "the engine's environment lacks a package: install it there"),
    (r"permission denied", "check who may read the model and who may open the port"),
)


def read_metrics(text: str, gauges: Mapping[str, Sequence[str]], shares: Sequence[str] = ()) -> dict[str, float | None]:
    """Figures out of Prometheus' text format: the sum, or the largest, over all labels of the named metrics; None where none is there.

    Names are those of samples without `_total`, which newer clients add to counters. Damaged text gives nothing.
    """
    found: dict[str, list[float]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name.removesuffix("_total"), []).append(float(sample.value))
    except (ValueError, KeyError, IndexError):
        pass
    figures: dict[str, float | None] = {}
    for name, wanted in gauges.items():
        values = [value for metric in wanted for value in found.get(metric.removesuffix("_total"), ()) if value == value]
        figures[name] = (max(values) if name in shares else sum(values)) if values else None
    return figures
