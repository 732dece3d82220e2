"""The pieces of a SentencePiece model, read from its protocol buffer without the package; every length is checked.

Schema: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto (ModelProto.pieces = 1: piece = 1, score = 2, type = 3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import RequestError
from core.models.disk.files import reason, shown

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Kinds of pieces; GGUF's token types have the same numbers."""

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_MAX_BYTES = 64 * 2**20
_MAX_PIECES = 2**22


@dataclass(frozen=True)
class Piece:
    """One entry of the vocabulary."""

    text: str
    score: float
    kind: int


def read_pieces(path: Path) -> list[Piece]:
    """The vocabulary of a `tokenizer.model` in the order of its ids.

    Raises:
        RequestError: the file cannot be read, or is not a SentencePiece model.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise RequestError(f"{shown(path)} is larger than {_MAX_BYTES >> 20} MiB, more than a tokenizer ever is: fetch it again")
        pieces = [_piece(value) for number, value in _fields(path.read_bytes()) if number == 1 and isinstance(value, bytes)]
    except OSError as error:
        raise RequestError(f"cannot read {shown(path)}: {reason(error)}") from error
    except (ValueError, struct.error, IndexError) as error:
        raise RequestError(f"{shown(path)} is not a SentencePiece model, or damaged: fetch it again") from error
    if not 0 < len(pieces) <= _MAX_PIECES:
        raise RequestError(f"{shown(path)} holds {len(pieces):,} pieces: it is not a SentencePiece model, or damaged")
    return pieces


def _piece(data: bytes) -> Piece:
    text, score, kind = "", 0.0, NORMAL
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            text = value.decode("utf-8")
        elif number == 2 and isinstance(value, bytes):
            score = struct.unpack("<f", value)[0]
        elif number == 3 and isinstance(value, int):
            kind = value
    if kind not in (NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE):
        raise ValueError("unknown kind of piece")
    return Piece(text, score, kind)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in (_FOUR, _EIGHT):
            length = 4 if wire == _FOUR else 8
        else:
            raise ValueError("unknown wire type")
        if length > len(data) - at:
            raise ValueError("a field ends beyond the message")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 64, 7):
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
    raise ValueError("a number of more than 64 bits")
