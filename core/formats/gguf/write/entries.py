"""What a GGUF file says about itself, as values with their kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["uint32", "int32", "float32", "bool", "string"]


@dataclass(frozen=True)
class Entry:
    """One value of a file's metadata; a list becomes an array of the kind."""

    key: str
    value: Any
    kind: Kind
