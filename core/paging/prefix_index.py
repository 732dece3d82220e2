"""Which block holds which beginning of a text: full blocks by a hash of their tokens chained to the hash of the block before."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b

_ROOT = b"\0" * 16
"""What takes the place of the hash before a first block."""


class PrefixIndex:
    """Hashes of the blocks that can be found again; of two blocks with the same tokens the first stays known."""

    def __init__(self, block_size: int) -> None:
        self._size = block_size
        self._hash_of: dict[int, bytes] = {}
        self._block_of: dict[bytes, int] = {}

    def knows(self, block: int) -> bool:
        """Whether the block can be found."""
        return block in self._hash_of

    def find(self, tokens: Sequence[int]) -> tuple[list[int], list[bytes]]:
        """Blocks with the beginning of the tokens, and their hashes; the last token is never among them, as it must be computed."""
        found: list[int] = []
        hashes: list[bytes] = []
        if not self._block_of:
            return found, hashes
        digest = _ROOT
        for first in range(0, len(tokens) - self._size, self._size):
            digest = _hash(digest, tokens[first : first + self._size])
            block = self._block_of.get(digest)
            if block is None:
                break
            found.append(block)
            hashes.append(digest)
        return found, hashes

    def remember(self, block: int, before: bytes | None, tokens: Sequence[int]) -> bytes:
        """Make a block known that has become full; `before` is the hash of the block before it. Returns its hash."""
        digest = _hash(before or _ROOT, tokens)
        if digest not in self._block_of:
            self._block_of[digest] = block
            self._hash_of[block] = digest
        return digest

    def forget(self, block: int) -> bool:
        """What is in the block is about to change; whether it could be found."""
        digest = self._hash_of.pop(block, None)
        if digest is not None:
            del self._block_of[digest]
        return digest is not None

    def chain(self, tokens: Sequence[int]) -> list[bytes]:
        """Hashes of the full blocks of a text."""
        hashes: list[bytes] = []
        for first in range(0, len(tokens) - self._size + 1, self._size):
            hashes.append(_hash(hashes[-1] if hashes else _ROOT, tokens[first : first + self._size]))
        return hashes

    def items(self) -> dict[int, bytes]:
        """Hash by block. Raises AssertionError: a hash is not known of exactly one block."""
        if {digest: block for block, digest in self._hash_of.items()} != self._block_of:
            raise AssertionError("broken: each hash is known of one block")
        return dict(self._hash_of)


def _hash(parent: bytes, tokens: Sequence[int]) -> bytes:
    return blake2b(parent + array("q", tokens).tobytes(), digest_size=16).digest()
