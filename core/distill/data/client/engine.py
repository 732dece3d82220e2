"""Requests through any engine of `core.engine`, for servers with a protocol of their own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self

from core.distill.data.client.request import Reply, Request, RequestFailed
from core.engine import Endpoint, Engine
from core.errors import RequestError


class EngineClient:
    """Sends requests by an engine's `generate`, one thread for each in flight. To be used as an asynchronous context manager.

    An engine takes one prompt and no conversation, and does not say why a text ended: one that has as many tokens as it may have counts as cut off.
    """

    def __init__(self, engine: Engine, endpoint: Endpoint, connections: int) -> None:
        self._engine, self._endpoint = engine, endpoint
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="teacher")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def send(self, request: Request) -> Reply:
        """One request, once. Raises RequestFailed."""
        if len(request.messages) != 1:
            raise RequestFailed(f"{self._engine.facts.title} takes one prompt: give seeds without system and messages", fatal=True)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._generate, request)

    def _generate(self, request: Request) -> Reply:
        texts: list[str] = []
        prompt = generated = None
        endpoint = replace(self._endpoint, model=request.model)
        try:
            for part in self._engine.generate(endpoint, request.messages[0].content, request.max_tokens, request.temperature):
                texts.append(part.text)
                prompt = part.prompt_tokens if part.prompt_tokens is not None else prompt
                generated = part.completion_tokens if part.completion_tokens is not None else generated
        except RequestError as error:
            status = getattr(error, "status", None)
            raise RequestFailed(str(error), again=status not in (400, 413, 422), fatal=status in (401, 402, 403, 404)) from error
        cut = generated is not None and generated >= request.max_tokens
        return Reply("".join(texts), "length" if cut else "", prompt, generated)
