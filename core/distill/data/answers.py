"""The file of answers: append-only JSONL, one answer a line under the key of its request, safe against kills and full disks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from core.distill.data.client.in_flight import Answered
from core.distill.data.client.request import Reply
from core.distill.data.conversation import documents
from core.errors import RequestError, RunFailed
from core.runs.state.files import sync_folder
from core.sanitize import clean


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of the file."""

    key: str
    reply: Reply
    attempts: int
    """Requests that it took."""


class AnswerFile:
    """Answers of one or several runs. One process writes at a time; to be used as a context manager.

    When `add` returns, its answers are on the disk. A last line that a kill cut short is removed when the file is opened; other lines that are no
    answers are left as they are, counted, and do not finish a request.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        """Lines that are no answers."""
        self._found: dict[str, Answer] = {}
        self._handle = -1

    def __enter__(self) -> Self:
        shown = clean(str(self.path), limit=200)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise RequestError(f"the answers {shown} cannot be written ({error.strerror or error}): choose another file") from error
        try:
            self._lock(shown)
            self._repair()
            for answer in self._read():
                # The first answer to a request is the one that counts.
                self._found.setdefault(answer.key, answer)
            sync_folder(self.path.parent)
        except BaseException:
            os.close(self._handle)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._handle)

    @property
    def found(self) -> Mapping[str, Answer]:
        """Every answer by its key."""
        return self._found

    def add(self, answers: Sequence[Answered]) -> None:
        """Append answers whose keys are not in the file yet.

        Raises:
            RunFailed: the disk does not take them; the file has only whole lines then.
        """
        fresh: dict[str, bytes] = {}
        for each in answers:
            key = each.request.key
            if key not in self._found and key not in fresh:
                fresh[key] = _line(key, each)
        before = os.fstat(self._handle).st_size
        try:
            _write_all(self._handle, b"".join(fresh.values()))
            os.fsync(self._handle)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, before)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            advice = "free some space and resume the run" if full else "check the folder and resume the run"
            raise RunFailed(f"answers cannot be written to {clean(str(self.path), limit=200)} ({error.strerror or error}): {advice}") from error
        for each in answers:
            key = each.request.key
            self._found.setdefault(key, Answer(key, each.reply, each.attempts))

    def _lock(self, shown: str) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RequestError(f"another run writes to the answers {shown}: wait for it, or choose another file") from error
        except OSError:
            # A file system without locks.
            return

    def _repair(self) -> None:
        """Make the file end with a line break: a whole last line gets one, a part of a line is removed."""
        size = os.fstat(self._handle).st_size
        start = _last_line(self._handle, size)
        tail = os.pread(self._handle, size - start, start)
        if not tail:
            return
        if _answer(tail) is not None:
            _write_all(self._handle, b"\n")
        else:
            os.ftruncate(self._handle, start)
        os.fsync(self._handle)

    def _read(self) -> Iterator[Answer]:
        with self.path.open("rb") as file:
            for line in file:
                if not line.strip():
                    continue
                if (answer := _answer(line)) is None:
                    self.damaged += 1
                else:
                    yield answer


def _line(key: str, answered: Answered) -> bytes:
    request, reply = answered.request, answered.reply
    document = {
        "key": key,
        "model": request.model,
        "messages": documents(request.messages),
        "sample": request.sample,
        "answer": reply.text,
        "finish": reply.finish,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "attempts": answered.attempts,
    }
    return json.dumps(document, ensure_ascii=False).encode(errors="replace") + b"\n"


def _answer(line: bytes) -> Answer | None:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    key, text, finish, attempts = (found.get(name) for name in ("key", "answer", "finish", "attempts"))
    if not (isinstance(key, str) and isinstance(text, str) and isinstance(finish, str) and isinstance(attempts, int)):
        return None
    prompt, completion = (value if isinstance(value := found.get(f"{name}_tokens"), int) else None for name in ("prompt", "completion"))
    return Answer(key, Reply(text, finish, prompt, completion), attempts)


def _last_line(handle: int, size: int, step: int = 1 << 16) -> int:
    """Where the text after the last line break begins."""
    end = size
    while end > 0:
        start = max(end - step, 0)
        found = os.pread(handle, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
