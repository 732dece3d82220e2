"""Static batching, simulated. Nothing is run.

What waits when the last batch is done makes the next one. Each row is set aside in full length, prompts are padded to the longest, every row is
computed until the longest answer is complete, and then all are answered.
"""

from __future__ import annotations

from core.kvcache.pages.schedule.clock import Job, Outcome, Simulation


class Static(Simulation):
    """One batch after another until all requests are answered."""

    policy = "static"

    def possible(self, job: Job) -> bool:
        """Within a row and the model's context, where memory has a row at all."""
        return job.arrival.prompt + job.arrival.output <= min(self.server.context, self.server.row) and self._rows > 0

    @property
    def _rows(self) -> int:
        """Rows that memory can set aside."""
        return min(self.server.most_sequences, self.line.blocks * self.line.block_size // self.server.row)

    def run(self) -> Outcome:
        """Simulate."""
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
