"""What transformers itself builds from a configuration: parameters and cache on the meta device, without weights or memory for them.

Run as a process of its own where torch is not imported yet, so that neither the screen nor a command that only plans has to import it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module

from core.models.config.cache_blocks import CacheBlock
from core.models.logical import Shape

_BUILDER = "core.models.meta_model"
"""Named as text: this module is imported where torch must not be."""
_SECONDS = 120


@dataclass(frozen=True)
class Built:
    """A model as transformers builds it."""

    shapes: dict[str, Shape]
    """Of each parameter by name, tied ones once."""
    blocks: Counter[CacheBlock] | None
    """What blocks cache of a token; None where that cannot be tried without weights."""


def built(config: Mapping[str, object]) -> Built | None:
    """The model of a config.json; None where transformers cannot build it."""
    try:
        text = json.dumps(config, sort_keys=True, default=str)
    except (TypeError, ValueError, RecursionError):
        return None
    return _built(text)


@lru_cache(maxsize=64)
def _built(text: str) -> Built | None:
    if {"torch", "transformers"} <= sys.modules.keys():
        return _read(import_module(_BUILDER).build(text))
    try:
        done = subprocess.run([sys.executable, "-P", "-m", _BUILDER], input=text, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return _read(done.stdout.rpartition("\n")[2]) if done.returncode == 0 else None


def _read(answer: str) -> Built | None:
    found = json.loads(answer or "null")
    if found is None:
        return None
    blocks = None if found["blocks"] is None else Counter(CacheBlock(*block) for block in found["blocks"])
    return Built({name: tuple(shape) for name, shape in found["shapes"].items()}, blocks)
