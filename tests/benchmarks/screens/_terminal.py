"""A pseudo-terminal with a clock: starts a program in it, types, and notes when which bytes come back."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[3]
ESCAPES = re.compile(rb"\x1b(?:\[[0-9;?<>=]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>78MP])")


def environment(home: Path, **more: str) -> dict[str, str]:
    """A plain 256-colour terminal on this machine, a home of its own, nothing of the caller's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "VIRTUAL_ENV") if name in os.environ}
    paths = {"LLMOPT_HOME": str(home), "LLMOPT_CONFIG": str(home / "config.toml"), "PYTHONPATH": str(ROOT)}
    return {**kept, **paths, "TERM": "xterm-256color", "HF_HUB_OFFLINE": "1", **more}


class Terminal:
    """Runs a command in a terminal of `columns` x `lines` that knows synchronized output, as most do.

    Args:
        command: program and arguments.
        bytes_per_second: how fast the terminal takes output; None for as fast as it comes.
    """

    def __init__(
        self, command: Sequence[str], environ: dict[str, str], *, columns: int = 120, lines: int = 36, bytes_per_second: int | None = None
    ) -> None:
        self._rate = bytes_per_second
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.chunks: list[tuple[float, bytes]] = []
        self._new = threading.Condition()
        self._over = False
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environ, cwd=ROOT, start_new_session=True)
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def type(self, keys: str) -> float:
        """Send keys; answers the time at which they were sent."""
        sent = time.monotonic()
        os.write(self._master, keys.encode())
        return sent

    def wait_for(self, found: Callable[[bytes], bool], since: int = 0, timeout: float = 60.0) -> float:
        """The time at which the output from chunk `since` on first satisfied `found`. TimeoutError when it never did."""
        deadline = time.monotonic() + timeout
        seen, position = b"", since
        with self._new:
            while True:
                for stamp, chunk in self.chunks[position:]:
                    seen += chunk
                    position += 1
                    if found(ESCAPES.sub(b"", seen)):
                        return stamp
                if self._over or not self._new.wait(max(deadline - time.monotonic(), 0)):
                    raise TimeoutError(ESCAPES.sub(b"", seen)[-2000:].decode(errors="replace"))

    def wait_for_text(self, *texts: str, since: int = 0, timeout: float = 60.0) -> float:
        """As `wait_for`, for words that were all written."""
        return self.wait_for(lambda seen: all(text.encode() in seen for text in texts), since, timeout)

    def quiet(self, seconds: float, timeout: float = 30.0) -> None:
        """Wait until nothing was written for a while."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            last = self.chunks[-1][0] if self.chunks else self.began
            if time.monotonic() - last >= seconds:
                return
            time.sleep(0.01)

    def wait_for_file(self, path: Path, timeout: float = 60.0) -> None:
        """Wait until the program has written a file."""
        deadline = time.monotonic() + timeout
        while not path.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(str(path))
            time.sleep(0.02)

    def written(self, since: float = 0.0) -> int:
        """Bytes taken from the program since a time."""
        return sum(len(chunk) for stamp, chunk in self.chunks if stamp >= since)

    def cpu_seconds(self) -> float:
        """Processor time of the program so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self) -> int:
        """Memory of the program now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        """Leave as a person does, then insist."""
        if self.process.poll() is None:
            self._rate = None
            self.type("\x11")
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self._over = True
        self._reader.join(2)
        os.close(self._master)

    def _read(self) -> None:
        while not self._over:
            if not select.select([self._master], [], [], 0.1)[0]:
                continue
            try:
                chunk = os.read(self._master, 1024 if self._rate else 65536)
            except OSError:
                return
            if b"\x1b[?2026$p" in chunk:
                os.write(self._master, b"\x1b[?2026;2$y")
            with self._new:
                self.chunks.append((time.monotonic(), chunk))
                self._new.notify_all()
            if self._rate:
                time.sleep(len(chunk) / self._rate)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie, the next larger one taken."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
