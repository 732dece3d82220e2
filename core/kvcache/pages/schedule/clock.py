"""What simulated schedulers have in common: the server, the requests, the clock, and what is reported and kept of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from core.kvcache.pages.schedule.events import MOST_REQUESTS, RequestState, ScheduleEvent
from core.kvcache.pages.schedule.roofline import Roofline
from core.kvcache.pages.schedule.traces import Arrival

Policy = Literal["continuous", "static"]
OnEvent = Callable[[ScheduleEvent], None]

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
class Job:
    """One request on its way."""

    id: int
    arrival: Arrival
    generated: int = 0
    computed: int = 0
    """Tokens whose keys and values are in the cache."""
    blocks: int = 0
    first_token: float = -1.0

    @property
    def length(self) -> int:
        """Tokens of prompt and answer so far."""
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


class Simulation:
    """What both policies have in common: arrivals, the clock, what is reported."""

    policy: Policy

    def __init__(self, arrivals: Sequence[Arrival], server: Server, on_event: OnEvent | None) -> None:
        self.server, self.line = server, server.roofline
        self.outcome = Outcome(self.policy, began=arrivals[0].time if arrivals else 0.0)
        self.outcome.ended = self.now = self.outcome.began
        self.waiting: deque[Job] = deque()
        self.running: list[Job] = []
        self._on_event, self._next, self._every = on_event, 0, max(len(arrivals) // _MOST_EVENTS, 1)
        jobs = [Job(index, arrival) for index, arrival in enumerate(arrivals)]
        self._to_come = deque(job for job in jobs if self.possible(job))
        self.outcome.refused = len(jobs) - len(self._to_come)

    def possible(self, job: Job) -> bool:
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

    def finish(self, job: Job) -> None:
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
        if self._on_event is not None and done >= self._next:
            self._next = done + self._every
            self._on_event(self._event(used, filled))

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
