"""Where trained heads of a target are kept, what distinguishes targets, and what training takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from core.runs.state.home import home

FACTS = "medusa.json"
HEADS = 4
"""Heads that are trained when nobody says otherwise."""
TRAINING_TOKENS, TRAINING_ROWS = 256_000, 512
"""Hidden states that heads are trained on, and of one step."""
HIDDEN_BYTES = 1 << 30
"""They take at most so much memory: of a wide target there are fewer."""
_PIECE, _PIECES = 1 << 20, 64


def base_digest(path: Path) -> str:
    """What distinguishes targets: SHA-256 over config.json and the weights; of a file beyond 64 MiB, over pieces of it from end to end.

    Args:
        path: a model folder, or a GGUF file.
    """
    every = path.iterdir() if path.is_dir() else [path]
    files = sorted(file for file in every if file.suffix in (".safetensors", ".gguf") or file.name == "config.json")
    return _digest(tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=64)
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for file, size, _changed in files:
        digest.update(f"{file.name} {size}\n".encode())
        for piece in _pieces(file, size):
            digest.update(piece)
    return digest.hexdigest()


def place_of(digest: str, heads: int = HEADS) -> Path:
    """Folder in the user's own data where heads of a target are kept and found again."""
    return home() / "drafters" / f"medusa-{digest[:24]}-{heads}"


def are_kept(path: Path) -> bool:
    """Whether heads for the target at `path` are there, damaged or not."""
    return (place_of(base_digest(path)) / FACTS).exists()


def _pieces(file: Path, size: int) -> Iterator[bytes]:
    with file.open("rb") as stream:
        if size <= _PIECE * _PIECES:
            while piece := stream.read(_PIECE):
                yield piece
            return
        for index in range(_PIECES):
            stream.seek((size - _PIECE) * index // (_PIECES - 1))
            yield stream.read(_PIECE)
