"""Text to calibrate, evaluate and train on: the built-in corpus, or a file of the user's.

The built-in corpus is the Python standard library's own source and documentation, which every
machine with Python has. A module belongs to the held-out split when the SHA-256 of its family name
says so; a module, its underscore twin and its tests share a family, so that no text about a held-out
module is ever trained on.
"""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import RequestError
from core.sanitize import clean

Split = Literal["train", "held-out"]

BUILTIN = "builtin"

_NOT_TEXT = {"site-packages", "dist-packages", "__pycache__", "encodings", "bad_coding", "data"}
# Debian and others ship these apart from the standard library: never part of the held-out text.
_OPTIONAL = {"test", "idlelib", "lib2to3", "distutils", "tkinter", "turtledemo", "turtle", "ensurepip", "venv"}
_HELD_OUT_IN_256 = 12


@dataclass(frozen=True)
class Corpus:
    """A named text with the hash that a result states with its figures."""

    name: str
    whole: str | tuple[str, ...]
    """The text, or the documents that it is made of, with a line break between them: apart they take a quarter of the memory, because one wide
    character in a string widens all of them."""

    @property
    def documents(self) -> tuple[str, ...]:
        """The parts of the text."""
        return (self.whole,) if isinstance(self.whole, str) else self.whole

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.documents)

    @property
    def length(self) -> int:
        """Characters of the text."""
        return sum(map(len, self.documents)) + len(self.documents) - 1

    def piece(self, begin: int, end: int) -> str:
        """`text[begin:end]` without making the whole, for 0 <= begin <= end."""
        found: list[str] = []
        at, last = 0, len(self.documents) - 1
        for number, document in enumerate(self.documents):
            if at >= end:
                break
            found.append(document[max(begin - at, 0) : end - at])
            at += len(document) + 1
            if number < last and begin < at <= end:
                found.append("\n")
        return "".join(found)

    @property
    def sha256(self) -> str:
        """Hex digest of the UTF-8 text."""
        digest = hashlib.sha256()
        for number, document in enumerate(self.documents):
            digest.update(document.encode() if not number else f"\n{document}".encode())
        return digest.hexdigest()

    @property
    def n_bytes(self) -> int:
        """Length of the text in UTF-8 bytes."""
        return sum(len(document.encode()) for document in self.documents) + len(self.documents) - 1


def builtin(split: Split) -> Corpus:
    """The standard library's text of one split, documents in a fixed shuffled order.

    The held-out split leaves out what some distributions package apart from Python (tests, idlelib,
    ...), so that it is the same on every machine with the same Python.
    """
    return Corpus(f"python-stdlib/{split}", tuple(text for _, text in documents_of(split)))


def documents_of(split: Split) -> Iterator[tuple[str, str]]:
    """(module path, text) of every document of a split, ordered by the hash of the path."""
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = [path.relative_to(root) for path in root.rglob("*.py") if not _NOT_TEXT & set(path.relative_to(root).parts)]
    for path in sorted(paths, key=lambda path: _digest(path.as_posix())):
        if is_held_out(path) != (split == "held-out"):
            continue
        if split == "held-out" and path.parts[0].removesuffix(".py") in _OPTIONAL:
            continue
        try:
            text = (root / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        if text.strip() and "\0" not in text:
            yield path.as_posix(), text


def is_held_out(path: Path) -> bool:
    """Whether the module at this path (relative to the standard library) is kept out of training."""
    return _digest(_family(path))[0] < _HELD_OUT_IN_256


def user(path: Path) -> Corpus:
    """A UTF-8 text file of the user's. Raises RequestError: the file cannot be read, is not UTF-8, or is empty."""
    shown = clean(str(path), limit=200)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"{shown} is not UTF-8 text (byte {error.start}): convert it, for example with iconv") from error
    except OSError as error:
        raise RequestError(f"cannot read the text {shown}: {error.strerror or error}") from error
    except ValueError as error:
        raise RequestError(f"cannot read the text {shown}: it is not a file name") from error
    if not text.strip():
        raise RequestError(f"the text {shown} is empty: give a file that contains text")
    return Corpus(clean(path.name, limit=200), text)


def load(name: str, split: Split = "held-out") -> Corpus:
    """`builtin` or the path of a text file."""
    return builtin(split) if name == BUILTIN else user(Path(name))


def _family(path: Path) -> str:
    parts = [part.removesuffix(".py") for part in path.parts]
    if parts[0] == "test" and len(parts) > 1:
        parts = [part.removeprefix("test_") for part in parts[1:]]
    return parts[0].strip("_")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
