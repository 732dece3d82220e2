"""One response as the client leaves it, before anybody looks into it, and how it travels from a worker process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise

from core.benchmark.client.outcome import Outcome, Status
from core.benchmark.client.refusal import reason_in
from core.benchmark.client.replies import DIALECTS, Reply
from core.benchmark.client.sse import Read
from core.sanitize import clean

_HEAD = 4
_SHOWN = 4096


@dataclass(slots=True)
class Raw:
    """Stamps, bytes and what went wrong. All times are nanoseconds of the monotonic clock, which all processes of a machine share."""

    index: int
    due: int
    status: Status = "done"
    free: int | None = None
    sent: int | None = None
    ended: int | None = None
    reads: list[Read] = field(default_factory=list)
    http: int | None = None
    content_type: str = ""
    reason: str = ""
    retries: int = 0
    connected: bool = False
    held: int = 0
    """Bytes that the worker process holds of it."""

    def outcome(self, dialect: str) -> Outcome:
        """What it means in the server's dialect.

        A response that went well on the wire fails when the server broke off, sent what is not its format, or sent nothing that ends an answer.
        """
        outcome = Outcome(
            index=self.index,
            status=self.status,
            due=self.due,
            free=self.free,
            sent=self.sent,
            ended=self.ended,
            http=self.http,
            reason=clean(self.reason, limit=300),
            retries=self.retries,
            connected=self.connected,
        )
        if self.http is not None and self.http != 200:
            return outcome
        reply = DIALECTS[dialect](self.reads)
        outcome.pieces, outcome.usage, outcome.finish = reply.pieces, reply.usage, reply.finish
        if self.status == "done" and (problem := reply.problem or self._nothing(reply) or reply.fault):
            outcome.status, outcome.reason = "failed", problem
        return outcome

    def _nothing(self, reply: Reply) -> str:
        if reply.pieces or reply.complete:
            return ""
        body = b"".join(data for _, data in self.reads)
        if not body:
            return "the server sent an empty response"
        kind = clean(self.content_type or "no content type", limit=60)
        if not reply.heard:
            said = clean(reason_in(body[:_SHOWN].decode(errors="replace")), limit=120) if "json" in kind else ""
            return f"the server does not stream responses in this form ({kind}{': ' if said else ''}{said}): check its address and protocol"
        return ""

    def packed(self) -> bytes:
        """Frame of a pipe: length of the head, head as JSON, the bytes of all reads."""
        head: dict[str, object] = {name: getattr(self, name) for name in _PLAIN}
        head["times"] = [t for t, _ in self.reads]
        head["sizes"] = [len(data) for _, data in self.reads]
        text = json.dumps(head).encode()
        body = b"".join(data for _, data in self.reads)
        return len(text).to_bytes(_HEAD, "little") + text + body

    @classmethod
    def unpacked(cls, frame: bytes) -> Raw:
        """What was packed."""
        size = int.from_bytes(frame[:_HEAD], "little")
        head = json.loads(frame[_HEAD : _HEAD + size])
        body = memoryview(frame)[_HEAD + size :]
        ends = [0]
        for length in head["sizes"]:
            ends.append(ends[-1] + length)
        reads = [(t, bytes(body[first:last])) for t, (first, last) in zip(head["times"], pairwise(ends), strict=True)]
        return cls(**{name: head[name] for name in _PLAIN}, reads=reads)


_PLAIN = ("index", "due", "status", "free", "sent", "ended", "http", "content_type", "reason", "retries", "connected")
