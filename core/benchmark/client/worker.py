"""A worker process of a load: `python -m core.benchmark.client.worker TICKETS` sends its share of the requests.

Standard input brings the job, then the moment of the start, then orders to pause and to go on. Standard output takes one frame a finished
request, and now and then how many are under way. TICKETS is the descriptor of a pipe from which the workers of a closed load draw the
numbers of requests, so that they serve one queue. SIGTERM, or the end of standard input, stops the load: what is under way is cancelled
and reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from time import monotonic_ns

from core.benchmark.client.client import Client
from core.benchmark.client.held import Held
from core.benchmark.client.job import GO_ON, PAUSE, Job, framed, read_frame, read_order
from core.benchmark.client.raw import Raw
from core.benchmark.client.request import Request

READY = b"ready"
USED = b"cpu "
"""Begins the last frame, with the seconds of processor time that the load took."""
UNDER_WAY = b"way "
"""Begins a frame that says how many requests are under way."""
TICKET = 4
_BREATH = 64
_DRAW_AGAIN = 0.001
_REPORT_EVERY = 0.25


class _Reporter:
    """Writes frames from a thread: a parent that reads slowly does not hold up the event loop."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._queue: SimpleQueue[Raw | bytes | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def send(self, item: Raw | bytes) -> None:
        self._queue.put(item)

    def finish(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        out = sys.stdout.buffer
        with contextlib.suppress(BrokenPipeError):
            while (item := self._queue.get()) is not None:
                out.write(framed(item.packed() if isinstance(item, Raw) else item))
                out.flush()
                if isinstance(item, Raw):
                    self._held.free(item.held)
                item = None


class _Share:
    """The requests of one worker, from the start to the end of the load.

    While it is paused nothing new is sent, and its clock stops: what was not sent is due later by as long as all pauses took.
    """

    def __init__(self, job: Job, client: Client, reporter: _Reporter, tickets: int, begin: int) -> None:
        self._job, self._client, self._reporter, self._tickets = job, client, reporter, tickets
        self._slots = asyncio.Semaphore(job.slots)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._begin_at = begin
        self._going = asyncio.Event()
        self._going.set()
        self._under_way = 0

    async def carry_out(self) -> None:
        """Send everything; returns when every answer has ended."""
        await asyncio.sleep(max(0.0, (self._begin_at - monotonic_ns()) / 1e9))
        await (self._closed() if self._job.closed else self._paced())
        await self.ended()

    def pause(self) -> None:
        """Send nothing new."""
        self._going.clear()

    def go_on(self, later: int) -> None:
        """Send again; `later` nanoseconds were added to the time of everything that was not sent."""
        self._begin_at += later
        self._going.set()

    async def report_under_way(self) -> None:
        """Report how many requests are under way, when that has changed."""
        reported = 0
        while True:
            await asyncio.sleep(_REPORT_EVERY)
            if reported != self._under_way:
                reported = self._under_way
                self._reporter.send(UNDER_WAY + str(reported).encode())

    async def ended(self) -> None:
        """Wait for what is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop(self) -> None:
        """Send nothing more, and cancel what is under way."""
        self._stopped = True
        for task in list(self._tasks):
            task.cancel()

    async def _paced(self) -> None:
        """Each request at its time, or as soon after it as there is a slot."""
        for request in self._job.requests:
            if not await self._until(request.due) and request.index % _BREATH == 0:
                await asyncio.sleep(0)
            self._begin(self._send(request))

    async def _until(self, due: int) -> bool:
        """Wait for a time of the schedule, which a pause moves; False when it is past already."""
        waited = False
        while True:
            await self._unpaused()
            wait = (self._begin_at + due - monotonic_ns()) / 1e9
            if wait <= 0:
                return waited
            await asyncio.sleep(wait)
            waited = True

    async def _unpaused(self) -> None:
        while not self._going.is_set():
            await self._going.wait()

    async def _send(self, request: Request) -> None:
        async with self._slots:
            await self._unpaused()
            await self._send_one(request, self._begin_at)

    async def _send_one(self, request: Request, begin: int) -> None:
        self._under_way += 1
        try:
            self._reporter.send(await self._client.send(request, begin))
        finally:
            self._under_way -= 1

    async def _closed(self) -> None:
        """As many users as slots, each with the next request of the queue when its last is answered."""
        for _ in range(self._job.slots):
            self._begin(self._user())

    async def _user(self) -> None:
        while not self._stopped and (index := await self._ticket()) is not None:
            request = self._job.requests[index]
            await self._send_one(Request(request.index, 0, request.body), monotonic_ns())

    async def _ticket(self) -> int | None:
        while True:
            await self._unpaused()
            try:
                data = os.read(self._tickets, TICKET)
            except BlockingIOError:
                await asyncio.sleep(_DRAW_AGAIN)
                continue
            return int.from_bytes(data, "little") if len(data) == TICKET else None

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _work(job: Job, reporter: _Reporter, tickets: int, held: Held) -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with Client(job.target, job.slots, job.patience, held) as client:
        reporter.send(READY)
        begin = await read_order(orders)
        if begin is None:
            return
        share = _Share(job, client, reporter, tickets, int.from_bytes(begin, "little"))
        before = time.process_time()
        main = asyncio.create_task(share.carry_out())

        def stop() -> None:
            share.stop()
            main.cancel()

        loop.add_signal_handler(signal.SIGTERM, stop)
        beside = [asyncio.create_task(_obey(orders, share, stop)), asyncio.create_task(share.report_under_way())]
        with contextlib.suppress(asyncio.CancelledError):
            await main
        await share.ended()
        for task in beside:
            task.cancel()
        reporter.send(USED + str(time.process_time() - before).encode())


async def _obey(orders: asyncio.StreamReader, share: _Share, stop: Callable[[], None]) -> None:
    """Pause and continue as ordered; when nobody is left to order it, stop."""
    while (order := await read_order(orders)) is not None:
        if order == PAUSE:
            share.pause()
        elif order.startswith(GO_ON):
            share.go_on(int(order.removeprefix(GO_ON)))
    stop()


def main() -> None:
    """Read the job, carry it out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tickets = int(sys.argv[1])
    os.set_blocking(tickets, False)
    frame = read_frame(sys.stdin.buffer)
    if frame is None:
        return
    job = Job.unpacked(frame)
    # A collection of everything takes milliseconds, in which nothing is stamped.
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    held = Held(job.slots, job.tokens)
    reporter = _Reporter(held)
    asyncio.run(_work(job, reporter, tickets, held))
    reporter.finish()


if __name__ == "__main__":
    main()
