"""The thread that computes: requests wait in a queue, one is answered at a time, and one whose client is gone is dropped."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, TypeVar

from core.errors import LlmoptError
from core.measure.freed_memory import give_back_memory
from core.sanitize import clean
from engines.server.backends.base import Backend, GenerationChunk, GenerationRequest
from engines.server.bodies import LARGE

T = TypeVar("T")


@dataclass
class Counters:
    """What `/metrics` reports."""

    running: int = 0
    waiting: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    generated: int = 0
    seconds: float = 0.0


@dataclass
class _Job:
    work: Callable[[Callable[[], bool]], Any]
    loop: asyncio.AbstractEventLoop
    answers: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    gone: threading.Event = field(default_factory=threading.Event)

    def put(self, item: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self.answers.put_nowait, item)


class Failure(Exception):
    """The backend could not go on; the text is one sentence."""


_END = object()


class Worker:
    """Owns a backend, whose model only its thread touches, and whose tokenizer another."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.counters = backend, Counters()
        self.started = int(time.time())
        """Seconds since the epoch."""
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True, name="backend")
        self._thread.start()
        self._texts = ThreadPoolExecutor(1, thread_name_prefix="text")

    def close(self) -> None:
        """No more requests."""
        self._jobs.put(None)
        self._texts.shutdown(wait=False, cancel_futures=True)

    async def text(self, function: Callable[[], T], size: int = 0) -> T:
        """The result of a function over texts and tokens: in a thread of its own, as neither other clients nor the model shall wait for it.

        Args:
            function: carried out after those before it.
            size: bytes that it is about, as far as that is known.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._texts, function)
        finally:
            if size >= LARGE:
                self._texts.submit(give_back_memory)

    async def stream(self, asked: GenerationRequest) -> AsyncGenerator[GenerationChunk, None]:
        """Answers to a request as they come; leaving the loop drops the request. Raises Failure: the backend could not go on."""
        counters = self.counters

        def work(stopped: Callable[[], bool]) -> Any:
            counters.requests += 1
            counters.prompt_tokens += len(asked.prompt)
            for told in self.backend.generate(asked, stopped):
                counters.generated += len(told.tokens)
                yield told
                if stopped():
                    return

        async with aclosing(self._ask(work)) as answers:
            async for told in answers:
                yield told

    async def call(self, function: Callable[[], Any]) -> Any:
        """The result of a function that is carried out in the thread. Raises Failure."""

        def work(_stopped: Callable[[], bool]) -> Any:
            yield function()

        async with aclosing(self._ask(work)) as answers:
            return await anext(answers)

    async def _ask(self, work: Callable[[Callable[[], bool]], Any]) -> AsyncGenerator[Any, None]:
        job = _Job(work, asyncio.get_running_loop())
        self.counters.waiting += 1
        self._jobs.put(job)
        try:
            while (item := await job.answers.get()) is not _END:
                if isinstance(item, BaseException):
                    raise Failure(sentence(item)) from item
                yield item
        finally:
            job.gone.set()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self.counters.waiting -= 1
            if job.gone.is_set():
                continue
            self.counters.running += 1
            began = time.monotonic()
            end: object = _END
            try:
                for item in job.work(job.gone.is_set):
                    job.put(item)
            except BaseException as error:
                end = error
            self.counters.running -= 1
            self.counters.seconds += time.monotonic() - began
            job.put(end)


def sentence(error: BaseException) -> str:
    """An error in words for a client: no traceback, no path of this machine that the error did not name."""
    return str(error) if isinstance(error, LlmoptError) else f"the model failed: {type(error).__name__}: {clean(str(error), limit=200)}"
