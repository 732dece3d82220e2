"""Models known by their public configuration only, for screens that plan."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import RequestError
from core.models.card import ModelCard

CONFIGS = Path(__file__).parents[2] / "data" / "configs"


@dataclass(frozen=True)
class Planned:
    """In place of a ModelSource."""

    name: str
    origin: str = "local"

    def card(self) -> ModelCard:
        return ModelCard.from_config(json.loads((CONFIGS / f"{self.name}.json").read_text()), name=self.name)


@dataclass(frozen=True)
class Listing:
    sources: tuple[Planned, ...]
    problems: tuple[Any, ...] = ()


class PlannedModels:
    """`bundled:base` is Meta-Llama-3-8B, so that what the form begins with has a size worth planning."""

    def __init__(self, first: str = "Meta-Llama-3-8B") -> None:
        self.first = first
        self.read = 0

    def listing(self) -> Listing:
        return Listing(tuple(Planned(path.stem) for path in sorted(CONFIGS.glob("*.json"))))

    def resolve(self, name: str) -> Planned:
        self.read += 1
        if name == "bundled:base":
            return Planned(self.first)
        if not (CONFIGS / f"{name}.json").is_file():
            raise RequestError(f"there is no model {name}: give a folder or an id")
        return Planned(name)
