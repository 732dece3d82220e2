"""A model that was found, and what it must be for a piece of work."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import RequestError
from core.models.card import ModelCard
from core.models.disk.files import shown
from core.models.gguf_card import gguf_card
from core.sanitize import clean

Kind = Literal["folder", "gguf"]
Origin = Literal["bundled", "local", "cache", "hub"]


@dataclass(frozen=True)
class ModelSource:
    """A model on this machine."""

    name: str
    """As it was asked for; resolves to the same model again. Not fit to be shown: see `title`."""
    path: Path
    kind: Kind
    origin: Origin

    @property
    def title(self) -> str:
        """The name, fit to be shown."""
        return clean(self.name, limit=200)

    @property
    def folder_name(self) -> str:
        """The name, fit to begin the name of a folder."""
        name = re.sub(r"[^A-Za-z0-9._]+", "-", self.name.removeprefix("bundled:").rstrip("/").rpartition("/")[2]).strip("-.")
        return name[:80] or "model"

    def card(self) -> ModelCard:
        """Read the model's card. Raises RequestError: its files are damaged."""
        return gguf_card(self.path, self.name) if self.kind == "gguf" else ModelCard.from_folder(self.path, self.name)


def require_folder(source: ModelSource) -> Path:
    """The folder with config.json and safetensors. Raises RequestError: the source is a GGUF file."""
    if source.kind != "folder":
        raise RequestError(f"{shown(source.path)} is a GGUF file, and this needs the folder it was made from: give the original Hugging Face folder")
    return source.path


def require_unquantized(card: ModelCard) -> None:
    """Nothing, when the weights are plain numbers. Raises RequestError: the checkpoint is quantized already."""
    if card.quantization is not None:
        method = card.quant_method
        raise RequestError(f"{card.name} is already quantized ({method}): give the original model, with bf16, fp16 or fp32 weights")


def not_linears(card: ModelCard) -> str | None:
    """Why methods that work on linears would miss weights of the blocks, as transformers builds them; None when they would not."""
    if any(linear.expert for linear in card.linears):
        return f"{card.name} keeps its experts fused into one tensor, and only linears can be compressed: choose a dense model"
    if card.model_type in _TRANSPOSED:
        return f"{card.name} is built of transposed Conv1D layers, as GPT-2 is, and only linears can be compressed: choose another model"
    return None


_TRANSPOSED = ("gpt2", "openai-gpt", "gpt-sw3")
