"""Damage to files, as bad disks, bad tools and bad people do it."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

_NUMBERS = (0, 1, 2, 7, 8, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    "",
    "\x1b[2J",
    "re:(a+)+$",
    "a" * 3000,
    0.5,
    -0.0,
    1e308,
    float("nan"),
    -1,
    3,
    -(2**63),
    *_NUMBERS,
    10**40,
    [],
    {},
    [[]],
    [0] * 50,
    {"a": {"b": []}},
    "int",
    "float",
    "group",
    "channel",
    "tensor",
)


def of_bytes(data: bytes, rng: random.Random, *, front: int = 4096) -> bytes:
    """One to four changes, most of them among the first `front` bytes, where headers stand."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not changed:
            break
        place = rng.randrange(min(front, len(changed)) if rng.random() < 0.9 else len(changed))
        rng.choice(_CHANGES)(changed, place, rng)
    return bytes(changed)


def of_json(value: Any, rng: random.Random) -> Any:
    """A copy in which one to three values are replaced, removed, moved or renamed."""
    changed = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        nodes = list(_nodes(changed))
        if not nodes:
            return rng.choice(_VALUES)
        container, key = rng.choice(nodes)
        kind = rng.random()
        if kind < 0.55:
            container[key] = copy.deepcopy(rng.choice(_VALUES))
        elif kind < 0.7:
            del container[key]
        elif kind < 0.85:
            other, name = rng.choice(nodes)
            container[key] = copy.deepcopy(other[name])
        elif isinstance(container, dict):
            container[str(rng.choice(_VALUES))] = container.pop(key)
        else:
            container.append(copy.deepcopy(container[key]))
    return changed


def of_text(value: Any, rng: random.Random) -> bytes:
    """JSON of a damaged value, or damaged JSON."""
    if rng.random() < 0.8:
        return json.dumps(of_json(value, rng)).encode()
    return of_bytes(json.dumps(value).encode(), rng)


def _nodes(value: Any) -> Any:
    if isinstance(value, dict | list):
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _nodes(item)


def _flip(data: bytearray, place: int, rng: random.Random) -> None:
    data[place] ^= 1 << rng.randrange(8)


def _number(data: bytearray, place: int, rng: random.Random) -> None:
    width = rng.choice((1, 2, 4, 8))
    data[place : place + width] = (rng.choice(_NUMBERS) & ((1 << (8 * width)) - 1)).to_bytes(width, "little")


def _cut(data: bytearray, place: int, rng: random.Random) -> None:
    del data[place : place + rng.randint(1, 64)]


def _end(data: bytearray, place: int, rng: random.Random) -> None:
    del data[place:]


def _repeat(data: bytearray, place: int, rng: random.Random) -> None:
    data[place:place] = data[place : place + rng.randint(1, 64)] * rng.randint(1, 8)


def _noise(data: bytearray, place: int, rng: random.Random) -> None:
    data[place:place] = rng.randbytes(rng.randint(1, 16))


_CHANGES = (_flip, _flip, _number, _number, _cut, _end, _repeat, _noise)
