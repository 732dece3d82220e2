"""A simulation of how a server batches requests: continuously (Orca, OSDI 2022; vLLM) or batch after batch. No torch; nothing is run.

Continuous: at each step every running sequence goes on; what is left of the step's tokens goes to prompts, in chunks. A request is admitted when the
blocks of its prompt are free; a sequence takes a block when it needs one; when none is free the youngest gives all of its back and is computed again
later.

Static: what waits when the last batch is done makes the next one. Each row is set aside in full length, prompts are padded to the longest, every row
is computed until the longest answer is complete, and then all are answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from core.kvcache.roofline import Roofline
from core.kvcache.schedule_event import MOST_REQUESTS, RequestState, ScheduleEvent
from core.kvcache.traces import Arrival

Policy = Literal["continuous", "static"]
Tell = Callable[[ScheduleEvent], None]

WATERMARK = 0.01
"""Share of the blocks that an admission leaves free beside running sequences, so that they are not preempted at once (vLLM's)."""
_MOST_POINTS = 4096
_MOST_EVENTS = 200


@dataclass(frozen=True)
class Server:
    """What requests are simulated on."""

    roofline: Roofline
    context: int
    """Tokens that a sequence can have."""
    row: int
    """Tokens that static batching sets aside for each sequence."""
    most_sequences: int
    batch_tokens: int


@dataclass(slots=True, eq=False)
class _Job:
    id: int
    arrival: Arrival
    generated: int = 0
    computed: int = 0
    """Tokens whose keys and values are in the cache."""
    blocks: int = 0
    first_token: float = -1.0

    @property
    def length(self) -> int:
        return self.arrival.prompt + self.generated


@dataclass
class Track:
    """Quantities over time, kept as at most a few thousand points and as integrals."""

    points: list[tuple[float, float, float, int, int]] = field(default_factory=list)
    """(end of the step, share of blocks in use, share of their slots filled, running, waiting)."""
    used: float = 0.0
    """Integral of the share of blocks in use over the time."""
    filled: float = 0.0
    """Integral of the share of used slots that hold a token, over the time that any are."""
    busy: float = 0.0
    """Seconds in which any block was in use."""
    batch: int = 0
    """Sequences summed over the steps."""
    steps: int = 0
    _stride: int = 1

    def add(self, now: float, seconds: float, used: float, filled: float, running: int, waiting: int) -> None:
        """A step of `seconds` that ends now."""
        self.used += used * seconds
        if used:
            self.filled += filled * seconds
            self.busy += seconds
        self.batch += running
        self.steps += 1
        if self.steps % self._stride == 0:
            self.points.append((now, used, filled, running, waiting))
        if len(self.points) > _MOST_POINTS:
            self.points, self._stride = self.points[1::2], 2 * self._stride


@dataclass
class Outcome:
    """What a simulation came to. Times in simulated seconds."""

    policy: Policy
    latencies: list[float] = field(default_factory=list)
    """Of each finished request from its arrival to its last token."""
    first_tokens: list[float] = field(default_factory=list)
    tokens: int = 0
    preemptions: int = 0
    refused: int = 0
    began: float = 0.0
    ended: float = 0.0
    track: Track = field(default_factory=Track)

    @property
    def makespan(self) -> float:
        """From the first arrival to the last token."""
        return self.ended - self.began


class _Simulation:
    """What both policies have in common: arrivals, the clock, what is told."""

    policy: Policy

    def __init__(self, arrivals: Sequence[Arrival], server: Server, tell: Tell | None) -> None:
        self.server, self.line = server, server.roofline
        self.outcome = Outcome(self.policy, began=arrivals[0].time if arrivals else 0.0)
        self.outcome.ended = self.now = self.outcome.began
        self.waiting: deque[_Job] = deque()
        self.running: list[_Job] = []
        self._tell, self._told, self._every = tell, 0, max(len(arrivals) // _MOST_EVENTS, 1)
        jobs = [_Job(index, arrival) for index, arrival in enumerate(arrivals)]
        self._to_come = deque(job for job in jobs if self.possible(job))
        self.outcome.refused = len(jobs) - len(self._to_come)

    def possible(self, job: _Job) -> bool:
        """Whether a request could be served were it alone."""
        raise NotImplementedError

    def arrive(self) -> bool:
        """Let in who has come by now; with nothing to do go on to the next arrival. False when all is done."""
        if not self.running and not self.waiting:
            if not self._to_come:
                return False
            self.now = max(self.now, self._to_come[0].arrival.time)
        while self._to_come and self._to_come[0].arrival.time <= self.now:
            self.waiting.append(self._to_come.popleft())
        return True

    def finish(self, job: _Job) -> None:
        """A request is answered now."""
        self.outcome.latencies.append(self.now - job.arrival.time)
        self.outcome.first_tokens.append(job.first_token - job.arrival.time)
        self.outcome.tokens += job.arrival.output
        self.outcome.ended = self.now

    def note(self, seconds: float, used: int, tokens: int) -> None:
        """A step is over."""
        blocks, size = self.line.blocks, self.line.block_size
        share, filled = used / blocks, tokens / (used * size) if used else 0.0
        self.outcome.track.add(self.now, seconds, share, filled, len(self.running), len(self.waiting))
        done = len(self.outcome.latencies)
        if self._tell is not None and done >= self._told:
            self._told = done + self._every
            self._tell(self._event(used, filled))

    def _event(self, used: int, filled: float) -> ScheduleEvent:
        outcome, generated = self.outcome, self.outcome.tokens + sum(job.generated for job in self.running)
        states = [("prefill" if job.computed < job.arrival.prompt else "decode", job) for job in self.running]
        states += [("waiting", job) for job in islice(self.waiting, max(MOST_REQUESTS - len(states), 0))]
        elapsed = self.now - outcome.began
        return ScheduleEvent(
            policy=self.policy,
            time=elapsed,
            step=outcome.track.steps,
            running=len(self.running),
            waiting=len(self.waiting),
            finished=len(outcome.latencies),
            preempted=outcome.preemptions,
            blocks=self.line.blocks,
            used=used,
            utilization=used / self.line.blocks,
            filled=filled,
            tokens=generated,
            rate=generated / elapsed if elapsed > 0 else 0.0,
            requests=tuple(
                RequestState(job.id, state, job.arrival.prompt, job.generated, job.arrival.output, job.blocks)
                for state, job in states[:MOST_REQUESTS]
            ),
        )


class _Continuous(_Simulation):
    policy = "continuous"

    def __init__(self, arrivals: Sequence[Arrival], server: Server, tell: Tell | None) -> None:
        super().__init__(arrivals, server, tell)
        self.free = self.line.blocks
        self._spare = int(WATERMARK * self.line.blocks)

    def possible(self, job: _Job) -> bool:
        length = job.arrival.prompt + job.arrival.output
        return length <= self.server.context and self._blocks_of(length) <= self.line.blocks

    def run(self) -> Outcome:
        while self.arrive():
            batch = self._schedule()
            tokens = sum(count for _, count in batch)
            seconds = self.line.seconds(tokens, sum(job.computed + count for job, count in batch))
            self.now += seconds
            for job, count in batch:
                job.computed += count
            self.note(seconds, self.line.blocks - self.free, sum(job.computed for job in self.running))
            for job, _ in batch:
                if job.computed == job.length:
                    self._generated(job)
        return self.outcome

    def _schedule(self) -> list[tuple[_Job, int]]:
        """Who computes how many tokens in this step: those that decode first, then prompts in order of admission, then who is admitted."""
        preempted = self.outcome.preemptions
        decoding = [job for job in self.running if job.length - job.computed == 1]
        for job in decoding:
            if job.blocks:
                self._grow(job)
        batch = [(job, 1) for job in decoding if job.blocks]
        budget = self.server.batch_tokens - len(batch)
        for job in self.running:
            missing = job.length - job.computed
            if missing > 1 and budget > 0:
                batch.append((job, min(missing, budget)))
                budget -= batch[-1][1]
        room_left = self.outcome.preemptions == preempted
        while room_left and self.waiting and budget > 0 and len(self.running) < self.server.most_sequences:
            job = self.waiting[0]
            needed = self._blocks_of(job.length)
            if needed > self.free - (self._spare if self.running else 0):
                break
            self.waiting.popleft()
            self.running.append(job)
            job.blocks, self.free = needed, self.free - needed
            batch.append((job, min(job.length, budget)))
            budget -= batch[-1][1]
        return batch

    def _grow(self, job: _Job) -> None:
        """A slot for one more token; the youngest give way, which may be the job itself."""
        while job.computed + 1 > job.blocks * self.line.block_size:
            if self.free:
                self.free -= 1
                job.blocks += 1
                continue
            youngest = self.running[-1]
            self._preempt(youngest)
            if youngest is job:
                return

    def _preempt(self, job: _Job) -> None:
        self.running.remove(job)
        self.free += job.blocks
        job.blocks = job.computed = 0
        self.waiting.appendleft(job)
        self.outcome.preemptions += 1

    def _generated(self, job: _Job) -> None:
        job.generated += 1
        if job.generated == 1:
            job.first_token = self.now
        if job.generated >= job.arrival.output:
            self.running.remove(job)
            self.free += job.blocks
            self.finish(job)

    def _blocks_of(self, tokens: int) -> int:
        return -(-tokens // self.line.block_size)


class _Static(_Simulation):
    policy = "static"

    def possible(self, job: _Job) -> bool:
        return job.arrival.prompt + job.arrival.output <= min(self.server.context, self.server.row) and self._rows > 0

    @property
    def _rows(self) -> int:
        """Rows that memory can set aside."""
        return min(self.server.most_sequences, self.line.blocks * self.line.block_size // self.server.row)

    def run(self) -> Outcome:
        while self.arrive():
            while self.waiting and len(self.running) < self._rows:
                self.running.append(self.waiting.popleft())
            self._prefill()
            self._decode()
            for job in self.running:
                self.finish(job)
            self.running.clear()
        return self.outcome

    def _prefill(self) -> None:
        rows, longest = len(self.running), max(job.arrival.prompt for job in self.running)
        each = max(self.server.batch_tokens // rows, 1)
        for first in range(0, longest, each):
            count = min(each, longest - first)
            self._step(rows * count, rows * (first + count))
            for job in self.running:
                job.computed = min(first + count, job.arrival.prompt)
        for job in self.running:
            job.generated, job.first_token = 1, self.now

    def _decode(self) -> None:
        rows, longest = len(self.running), max(job.arrival.prompt for job in self.running)
        for step in range(1, max(job.arrival.output for job in self.running)):
            self._step(rows, rows * (longest + step))
            for job in self.running:
                if job.generated < job.arrival.output:
                    job.generated += 1
                    job.computed += 1

    def _step(self, tokens: int, kv_tokens: int) -> None:
        seconds = self.line.seconds(tokens, kv_tokens)
        self.now += seconds
        set_aside = -(-len(self.running) * self.server.row // self.line.block_size)
        self.note(seconds, min(set_aside, self.line.blocks), sum(job.computed for job in self.running))


def continuous(arrivals: Sequence[Arrival], server: Server, tell: Tell | None = None) -> Outcome:
    """Simulate continuous batching; `tell` hears of it now and then, and may raise to stop it."""
    return _Continuous(arrivals, server, tell).run()


def static(arrivals: Sequence[Arrival], server: Server, tell: Tell | None = None) -> Outcome:
    """Simulate static batching; arguments as of `continuous`."""
    return _Static(arrivals, server, tell).run()


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share do not pass (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(-(-round(share * 1000) * len(ordered) // 1000), 1) - 1]
