"""A server that does what the prompt says, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any


class ScriptedServer:
    """Speaks as much HTTP as it takes. The first word of a prompt chooses what becomes of the request; `opened` counts connections."""

    def __init__(self) -> None:
        self.opened = 0
        self.requests: list[dict[str, Any]] = []
        self.heads: list[str] = []
        self.port = 0
        self._tries: dict[str, int] = {}
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """Gone, with every connection, as a process that was killed."""

        def gone() -> None:
            self._server.close()
            for transport in list(self._transports):
                transport.abort()

        self._loop.call_soon_threadsafe(gone)

    def close(self) -> None:
        self.kill()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join(5)

    async def _end(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._loop.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._transports: set[asyncio.WriteTransport] = set()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self._transports.add(writer.transport)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if head.startswith("GET "):
                    models = head.split()[1] == "/v1/models"
                    self._status(writer, "200 OK" if models else "404 Not Found", b'{"object": "list", "data": [{"id": "m"}]}' if models else b"{}")
                    continue
                length = next(int(line.split(":")[1]) for line in head.lower().splitlines() if line.startswith("content-length"))
                body = json.loads(await reader.readexactly(length))
                self.requests.append(body)
                self.heads.append(head)
                prompt = body["messages"][0]["content"]
                if not await getattr(self, "_" + prompt.split()[0])(writer, prompt):
                    break
        self._transports.discard(writer.transport)
        writer.close()

    async def _ok(self, writer: asyncio.StreamWriter, _prompt: str, pause: float = 0.002) -> bool:
        self._begin(writer)
        for word in ("", "a", "b", "c"):
            self._chunk(writer, f"data: {json.dumps({'choices': [{'delta': {'content': word}}]})}\n\n".encode())
            await asyncio.sleep(pause)
        usage = {"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}}
        self._chunk(writer, f"data: {json.dumps(usage)}\n\ndata: [DONE]\n\n".encode())
        writer.write(b"0\r\n\r\n")
        return True

    async def _slow(self, writer: asyncio.StreamWriter, prompt: str) -> bool:
        return await self._ok(writer, prompt, 0.1)

    async def _reset(self, writer: asyncio.StreamWriter, _prompt: str) -> bool:
        self._begin(writer)
        self._chunk(writer, b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n')
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.transport.abort()
        return False

    async def _hang(self, _writer: asyncio.StreamWriter, _prompt: str) -> bool:
        await asyncio.sleep(3600)
        return False

    async def _loris(self, writer: asyncio.StreamWriter, _prompt: str) -> bool:
        self._begin(writer)
        while True:
            self._chunk(writer, b":")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def _busy(self, writer: asyncio.StreamWriter, _prompt: str) -> bool:
        return self._status(writer, "429 Too Many Requests", b"slow down", "Retry-After: 0.05\r\n")

    async def _later(self, writer: asyncio.StreamWriter, prompt: str) -> bool:
        """Busy once, then not."""
        self._tries[prompt] = self._tries.get(prompt, 0) + 1
        return await (self._busy if self._tries[prompt] == 1 else self._ok)(writer, prompt)

    async def _once(self, writer: asyncio.StreamWriter, prompt: str) -> bool:
        """What the second word says, once, then well."""
        self._tries[prompt] = self._tries.get(prompt, 0) + 1
        return await (getattr(self, "_" + prompt.split()[1]) if self._tries[prompt] == 1 else self._ok)(writer, prompt)

    async def _echo(self, writer: asyncio.StreamWriter, _prompt: str) -> bool:
        """Repeats the request in its error, the key included, as some servers do."""
        return self._status(writer, "500 Internal Server Error", json.dumps({"error": {"message": self.heads[-1]}}).encode())

    async def _parrot(self, writer: asyncio.StreamWriter, _prompt: str) -> bool:
        """Answers with the request, the key included."""
        return self._stream(writer, f"data: {json.dumps({'choices': [{'delta': {'content': self.heads[-1]}}]})}\n\ndata: [DONE]\n\n".encode())

    async def _empty(self, writer: asyncio.StreamWriter, _prompt: str) -> bool:
        return self._stream(writer, b'data: {"choices": [{"delta": {"content": ""}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n')

    async def _broken(self, writer: asyncio.StreamWriter, _prompt: str) -> bool:
        return self._status(writer, "500 Internal Server Error", b'{"error": {"message": "CUDA out of memory\x1b[31m"}}')

    async def _page(self, writer: asyncio.StreamWriter, _prompt: str) -> bool:
        return self._status(writer, "200 OK", b"<html>welcome</html>", "Content-Type: text/html\r\n")

    async def _latin(self, writer: asyncio.StreamWriter, _prompt: str) -> bool:
        return self._stream(writer, b'data: {"choices": [{"delta": {"content": "\xe4"}}]}\n\n')

    async def _garbage(self, writer: asyncio.StreamWriter, _prompt: str) -> bool:
        return self._stream(writer, b"data: {oops\n\n")

    def _stream(self, writer: asyncio.StreamWriter, data: bytes) -> bool:
        self._begin(writer)
        self._chunk(writer, data)
        writer.write(b"0\r\n\r\n")
        return True

    def _status(self, writer: asyncio.StreamWriter, status: str, body: bytes, more: str = "") -> bool:
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body)
        return True

    def _begin(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")

    def _chunk(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))


@contextlib.contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    """One that is closed again."""
    server = ScriptedServer()
    try:
        yield server
    finally:
        server.close()
