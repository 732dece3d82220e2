"""events.jsonl: what a run has to say, one JSON object a line, append only."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from core.runs.state.files import dumps
from core.runs.state.state import LATEST
from core.sanitize import clean

_CHUNK = 4 << 20
_TEXT = 4000
_DEPTH = 12
DETAIL_BYTES = 16 << 10
"""At most so long is the line of a detail: one write, read back in one piece."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` steps are finished; `label` comes next."""

    type: ClassVar[str] = "progress"
    t: float
    done: int
    total: int
    label: str


@dataclass(frozen=True, slots=True)
class Metric:
    """A measured figure; `value` is None where the measurement gave no finite number."""

    type: ClassVar[str] = "metric"
    t: float
    name: str
    value: float | None
    step: int
    label: str


@dataclass(frozen=True, slots=True)
class Log:
    """A line for the user."""

    type: ClassVar[str] = "log"
    t: float
    text: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished file or folder."""

    type: ClassVar[str] = "artifact"
    t: float
    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class StateChange:
    """The run went over into `status`."""

    type: ClassVar[str] = "state"
    t: float
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Detail:
    """What a live view shows beyond figures, for example the blocks of a paged cache; `kind` says how to read `data`."""

    type: ClassVar[str] = "detail"
    t: float
    kind: str
    data: dict[str, Any]


Event = Progress | Metric | Log | Artifact | StateChange | Detail
_KINDS: dict[str, type[Event]] = {kind.type: kind for kind in (Progress, Metric, Log, Artifact, StateChange, Detail)}


def _bounded(value: Any, most: float) -> Any:
    if not abs(value) <= most:
        raise ValueError(value)
    return value


_CASTS: dict[str, Any] = {
    "float": lambda value: _bounded(float(value), sys.float_info.max),
    "int": lambda value: _bounded(int(value), 2**53),
    "str": lambda text: clean(str(text), limit=_TEXT),
    "dict[str,": lambda data: {str(name): safe(value) for name, value in data.items()},
}


def line(event: Event) -> bytes:
    """The line of an event, its line feed included."""
    return dumps({"t": event.t, "type": event.type, **asdict(event)}, indent=None).encode(errors="replace") + b"\n"


def parse(text: bytes) -> Event | None:
    """The event of one line; None for what no version of this program wrote. Its texts are safe to show."""
    try:
        values = json.loads(text)
        kind = _KINDS[values.pop("type")]
        event = kind(**{field: _value(str(annotation), values[field]) for field, annotation in _FIELDS[kind].items()})
        return event if 0 <= event.t < LATEST else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None


def _value(annotation: str, value: Any) -> Any:
    if value is None and annotation.endswith("None"):
        return None
    return _CASTS[annotation.partition(" ")[0]](value)


def safe(value: Any, depth: int = 0) -> Any:
    """A copy of JSON data in which every text is fit to be shown, line feeds and tabs kept; what nests deeper than 12 levels is left out."""
    if isinstance(value, str):
        return clean(value, limit=_TEXT, multiline=True)
    if depth >= _DEPTH:
        return None
    if isinstance(value, dict):
        return {clean(str(name), limit=200): safe(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [safe(item, depth + 1) for item in value]
    return value


_FIELDS = {kind: {name: text for name, text in kind.__annotations__.items() if name != "type"} for kind in _KINDS.values()}


def read(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    """The events of the file from byte `offset` on, and the offset to go on from.

    A last line that is still being written is left for the next call. At most 4 MiB are read at once: call again
    until the offset stays.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            chunk = file.read(_CHUNK)
    except OSError:
        return [], offset
    whole = chunk.rfind(b"\n") + 1
    if whole == 0:
        return [], offset + len(chunk) if len(chunk) == _CHUNK else offset
    events = [event for text in chunk[:whole].splitlines() if (event := parse(text)) is not None]
    return events, offset + whole


def read_all(path: Path) -> list[Event]:
    """Every event of the file."""
    events: list[Event] = []
    offset, last = 0, -1
    while offset != last:
        last = offset
        new, offset = read(path, offset)
        events += new
    return events


class EventWriter:
    """Appends events; each is one write, so that a reader and a second writer never see two halves mixed."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._path = path

    def write(self, event: Event) -> None:
        """Append `event`. Raises OSError when the disk refuses."""
        data = line(event)
        written = os.write(self._handle, data)
        if written < len(data):
            os.write(self._handle, data[written:])

    def close(self) -> None:
        """Give the file back."""
        os.close(self._handle)


def now() -> float:
    """The time stamp of an event: seconds since 1970."""
    return time.time()
