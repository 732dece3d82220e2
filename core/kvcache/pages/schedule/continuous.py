"""Continuous batching, simulated (Orca, OSDI 2022; vLLM). Nothing is run.

At each step every running sequence continues; what is left of the step's tokens goes to prompts, in chunks. A request is admitted when the blocks of
its prompt are free; a sequence takes a block when it needs one; when none is free the youngest gives all of its back and is computed again later.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.kvcache.pages.schedule.clock import Job, OnEvent, Outcome, Server, Simulation
from core.kvcache.pages.schedule.traces import Arrival

WATERMARK = 0.01
"""Share of the blocks that an admission leaves free while sequences run, so that they are not preempted at once (vLLM's)."""


class Continuous(Simulation):
    """One step after another until all requests are answered."""

    policy = "continuous"

    def __init__(self, arrivals: Sequence[Arrival], server: Server, on_event: OnEvent | None) -> None:
        super().__init__(arrivals, server, on_event)
        self.free = self.line.blocks
        self._spare = int(WATERMARK * self.line.blocks)

    def possible(self, job: Job) -> bool:
        """Within the model's context and, alone, within the memory."""
        length = job.arrival.prompt + job.arrival.output
        return length <= self.server.context and self._blocks_of(length) <= self.line.blocks

    def run(self) -> Outcome:
        """Simulate."""
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

    def _schedule(self) -> list[tuple[Job, int]]:
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

    def _grow(self, job: Job) -> None:
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

    def _preempt(self, job: Job) -> None:
        self.running.remove(job)
        self.free += job.blocks
        job.blocks = job.computed = 0
        self.waiting.appendleft(job)
        self.outcome.preemptions += 1

    def _generated(self, job: Job) -> None:
        job.generated += 1
        if job.generated == 1:
            job.first_token = self.now
        if job.generated >= job.arrival.output:
            self.running.remove(job)
            self.free += job.blocks
            self.finish(job)

    def _blocks_of(self, tokens: int) -> int:
        return -(-tokens // self.line.block_size)
