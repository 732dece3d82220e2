"""Server-sent events out of the raw reads of a response, each with the time at which it was whole.

Reads are stamped while the response comes and taken apart afterwards, so that parsing never delays a stamp. The format is that of the WHATWG HTML
standard, section 9.2: lines end with CRLF, LF or CR, a colon begins a comment, a blank line ends an event.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

Read = tuple[int, bytes]
"""When a read returned, in nanoseconds of the monotonic clock, and what it brought."""

_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r|\Z)")


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event."""

    t: int
    """Nanoseconds of the monotonic clock at which its last line had come."""
    data: bytes
    """The `data` lines, joined by line feeds."""
    kind: str = ""
    """The `event` field; empty for an ordinary message."""


def events(reads: Sequence[Read]) -> list[ServerEvent]:
    """The events of a response body. The last one counts even without a blank line: it was whole when the connection ended."""
    body = b"".join(data for _, data in reads)
    ends = list(accumulate(len(data) for _, data in reads))
    found: list[ServerEvent] = []
    lines: list[bytes] = []
    kind, last = "", 0

    def dispatch() -> None:
        if lines:
            found.append(ServerEvent(reads[min(bisect_left(ends, last), len(ends) - 1)][0], b"\n".join(lines), kind))

    for match in _LINE.finditer(body, 3 if body.startswith(b"\xef\xbb\xbf") else 0):
        line = match.group().rstrip(b"\r\n")
        if not line:
            dispatch()
            lines, kind = [], ""
            continue
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            lines.append(value)
            last = match.end()
        elif name == b"event":
            kind = value.decode(errors="replace")
        elif name == b"error":  # llama.cpp's server, which reports errors as a field of its own
            lines, kind, last = [value], "error", match.end()
    dispatch()
    return found
