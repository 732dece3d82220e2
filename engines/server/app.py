"""The HTTP side: OpenAI's `/v1/models`, `/v1/chat/completions`, `/v1/completions`, and `/health`, `/metrics`, `/tokenize`."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from hmac import compare_digest
from itertools import accumulate
from typing import Any

from aiohttp import ClientPayloadError, web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from core import __version__
from core.errors import RequestError
from core.measure.units import size
from core.sanitize import clean
from engines.server.backends.base import GenerationChunk, TokenProbability
from engines.server.bodies import most_bytes, parsed, token_list
from engines.server.refusals import refusal, same_origin
from engines.server.requests import Refused, Request, chat_request, completion_request
from engines.server.worker import Counters, Failure, Worker, sentence

_PATIENCE = 120.0
"""Seconds for a body to arrive."""
_OPEN = ("/health", "/metrics", "/version")
_WORKER: web.AppKey[Worker] = web.AppKey("worker", Worker)


def make_app(worker: Worker, key: str | None = None) -> web.Application:
    """The application over a loaded backend; with a key, whoever asks the model must give it, and `/health` and `/metrics` stay open."""
    largest = most_bytes(worker.backend.context)
    app = web.Application(client_max_size=largest, middlewares=[_errors, same_origin(trusted=key is not None), *([_guard(key)] if key else [])])
    app[_WORKER] = worker
    registry = CollectorRegistry()
    registry.register(_Figures(worker.counters))

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4"})

    app.add_routes(
        [
            web.get("/health", _health),
            web.get("/version", _version),
            web.get("/metrics", metrics),
            web.get("/v1/models", _models),
            web.get("/v1/models/{name:.+}", _model),
            web.post("/v1/chat/completions", _chat),
            web.post("/v1/completions", _completions),
            web.post("/tokenize", _tokenize),
        ]
    )
    return app


@web.middleware
async def _errors(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except Refused as error:
        return refusal(400, str(error), "invalid_request_error", error.param, error.code)
    except RequestError as error:
        return refusal(400, str(error), "invalid_request_error")
    except Failure as error:
        return refusal(500, str(error), "server_error")
    except web.HTTPRequestEntityTooLarge:
        context = request.app[_WORKER].backend.context
        words = f"the body exceeds {size(most_bytes(context))}, more than a context of {context} tokens holds: shorten it"
        return refusal(413, words, "invalid_request_error", None, "context_length_exceeded")
    except (web.RequestPayloadError, ClientPayloadError) as error:
        return refusal(400, f"the body cannot be read: {clean(str(error), limit=300)}", "invalid_request_error")
    except web.HTTPException as error:
        return refusal(error.status, clean(error.text or error.reason, limit=200), "invalid_request_error")
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception as error:
        return refusal(500, sentence(error), "server_error")
    return response


def _guard(key: str) -> Middleware:
    expected = key.encode()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        scheme, _, given = request.headers.get("Authorization", "").strip().partition(" ")
        right = scheme.lower() == "bearer" and compare_digest(given.strip().encode(errors="surrogateescape"), expected)
        if request.path not in _OPEN and not right:
            words = "the key is not valid for this server" if scheme else "this server requires a key: send it as Authorization: Bearer KEY"
            return refusal(401, words, "invalid_request_error", None, "invalid_api_key")
        return await handler(request)

    return guard


async def _health(_request: web.Request) -> web.Response:
    return web.Response()


async def _version(_request: web.Request) -> web.Response:
    return web.json_response({"version": __version__})


def _card(worker: Worker) -> dict[str, Any]:
    backend = worker.backend
    told = {"id": backend.name, "object": "model", "created": worker.started, "owned_by": "llmopt"}
    return told | {"max_model_len": backend.context, "backend": backend.words}


async def _models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [_card(request.app[_WORKER])]})


async def _model(request: web.Request) -> web.Response:
    worker = request.app[_WORKER]
    if request.match_info["name"] != worker.backend.name:
        return _unknown(request.match_info["name"], worker)
    return web.json_response(_card(worker))


def _unknown(name: str, worker: Worker) -> web.Response:
    words = f"the model {clean(name, limit=100)!r} does not exist: this server has {worker.backend.name!r}"
    return refusal(404, words, "invalid_request_error", "model", "model_not_found")


async def _body(request: web.Request) -> bytes:
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise web.HTTPUnsupportedMediaType(text="the body is compressed, which this server does not support: send it as it is")
    try:
        async with asyncio.timeout(_PATIENCE):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the body did not arrive within {_PATIENCE:.0f} s") from None


async def _tokenize(request: web.Request) -> web.Response:
    worker, data = request.app[_WORKER], await _body(request)

    def tokens() -> bytes:
        body = parsed(data)
        text = body.get("prompt") if isinstance(body, dict) else None
        if not isinstance(text, str):
            raise RequestError("prompt must be a string")
        return token_list(worker.backend.encode(text))

    return web.Response(body=await worker.text(tokens, len(data)), content_type="application/json", charset="utf-8")


async def _chat(request: web.Request) -> web.StreamResponse:
    return await _answer(request, chat_request, "chatcmpl")


async def _completions(request: web.Request) -> web.StreamResponse:
    return await _answer(request, completion_request, "cmpl")


async def _answer(request: web.Request, check: Callable[[Any, Any], Request], prefix: str) -> web.StreamResponse:
    worker, data = request.app[_WORKER], await _body(request)

    def checked() -> Request | str:
        """Of a body; or the name of another model, which it asks for."""
        body = parsed(data)
        named = body.get("model") if isinstance(body, dict) else None
        if not isinstance(named, str | None):
            raise Refused("model must be a string", "model")
        return named if named and named != worker.backend.name else check(body, worker.backend)

    found = await worker.text(checked, len(data))
    if isinstance(found, str):
        return _unknown(found, worker)
    reply = _Reply(found, worker, f"{prefix}-{uuid.uuid4().hex[:24]}")
    return await reply.streamed(request) if found.stream else await reply.whole()


class _Reply:
    """One answer in OpenAI's words."""

    def __init__(self, request: Request, worker: Worker, name: str) -> None:
        self._request, self._worker = request, worker
        self._head = {
            "id": name,
            "object": ("chat.completion" if request.chat else "text_completion"),
            "created": int(time.time()),
            "model": worker.backend.name,
        }
        self._count = self._offset = 0

    async def whole(self) -> web.Response:
        echoed, probabilities = await self._echo()
        texts, found, finish = [echoed], list(probabilities), "length"
        async with aclosing(self._told()) as answers:
            async for told in answers:
                texts.append(told.text)
                found += told.probabilities
                finish = told.finish or finish
        text = "".join(texts)

        def document() -> str:
            choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": self._logprobs(found)}
            choice |= {"message": {"role": "assistant", "content": text}} if self._request.chat else {"text": text}
            return json.dumps(self._head | {"choices": [choice], "usage": self._usage()})

        return web.Response(text=await self._worker.text(document), content_type="application/json")

    async def streamed(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        echoed, probabilities = await self._echo()
        async with aclosing(self._told()) as answers:
            # The first piece decides whether this is an answer at all, before the status is sent.
            first = await anext(answers, None)
            await response.prepare(request)
            if self._request.chat:
                await self._send(response, [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
            try:
                if echoed:
                    prompt = GenerationChunk(echoed, probabilities=tuple(probabilities))
                    await self._send(response, [await self._worker.text(lambda: self._choice(prompt))])
                if first is not None:
                    await self._send(response, [self._choice(first)])
                async for told in answers:
                    if told.text or told.finish or told.probabilities:
                        await self._send(response, [self._choice(told)])
                if self._request.usage:
                    await self._send(response, [], usage=self._usage())
            except Failure as error:
                await response.write(f"data: {json.dumps({'error': {'message': str(error), 'type': 'server_error'}})}\n\n".encode())
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _told(self) -> AsyncGenerator[GenerationChunk, None]:
        if not self._request.asked.max_tokens:
            yield GenerationChunk("", finish="length")
            return
        async with aclosing(self._worker.stream(self._request.asked)) as answers:
            async for told in answers:
                self._count += len(told.tokens)
                yield told

    async def _echo(self) -> tuple[str, list[TokenProbability]]:
        """The prompt itself, and how likely it was, where that is asked for."""
        request, backend = self._request, self._worker.backend
        if not request.echo:
            return "", []
        tokens = request.asked.prompt
        text = await self._worker.text(lambda: backend.decode(tokens))
        if not request.asked.logprobs:
            return text, []
        return text, await self._worker.call(lambda: backend.score(tokens, request.asked.logprobs))

    def _choice(self, told: GenerationChunk) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": told.finish}
        choice |= {"delta": {"content": told.text}} if self._request.chat else {"text": told.text}
        if told.probabilities:
            choice["logprobs"] = self._logprobs(told.probabilities)
        return choice

    def _logprobs(self, found: Sequence[TokenProbability]) -> dict[str, Any] | None:
        if not found:
            return None
        tops = [each.top[: self._request.top] for each in found]
        if self._request.chat:
            rows = zip(found, tops, strict=True)
            return {"content": [self._named(each.token, each.logprob) | {"top_logprobs": [self._named(*pair) for pair in top]} for each, top in rows]}
        names = [self._name(each.token) for each in found]
        offsets = list(accumulate(map(len, names), initial=self._offset))
        self._offset = offsets.pop()
        return {
            "tokens": names,
            "token_logprobs": [each.logprob for each in found],
            "top_logprobs": [{self._name(token): value for token, value in top} for top in tops],
            "text_offset": offsets,
            "token_ids": [each.token for each in found],
            "top_ids": [[list(pair) for pair in top] for top in tops],
        }

    def _name(self, token: int) -> str:
        return self._worker.backend.decode([token])

    def _named(self, token: int, logprob: float) -> dict[str, Any]:
        """A token of a conversation; part of a character has no bytes that its text would show."""
        name = self._name(token)
        return {"token": name, "logprob": logprob, "bytes": None if "\ufffd" in name else list(name.encode())}

    def _usage(self) -> dict[str, int]:
        prompt = len(self._request.asked.prompt)
        return {"prompt_tokens": prompt, "completion_tokens": self._count, "total_tokens": prompt + self._count}

    async def _send(self, response: web.StreamResponse, choices: list[dict[str, Any]], **more: Any) -> None:
        event = self._head | {"object": "chat.completion.chunk" if self._request.chat else "text_completion", "choices": choices, **more}
        await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")


class _Figures(Collector):
    """The counters as Prometheus has them."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def collect(self) -> Any:
        counters = self._counters
        yield GaugeMetricFamily("llmopt_requests_running", "Requests being processed", counters.running)
        yield GaugeMetricFamily("llmopt_requests_waiting", "Requests in the queue", counters.waiting)
        yield CounterMetricFamily("llmopt_requests", "Requests since the start", counters.requests)
        yield CounterMetricFamily("llmopt_prompt_tokens", "Prompt tokens since the start", counters.prompt_tokens)
        yield CounterMetricFamily("llmopt_generation_tokens", "Generated tokens since the start", counters.generated)
        yield CounterMetricFamily("llmopt_busy_seconds", "Compute seconds since the start", counters.seconds)
