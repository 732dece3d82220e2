"""A GGUF file as a Hugging Face model: its parameters by name, its configuration and its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.formats.gguf.families import is_norm, parameter_name, permuted_heads
from core.formats.gguf.read.config import config_of
from core.formats.gguf.read.reader import GgufFile
from core.formats.gguf.write.convert import unpermute
from core.models.disk.files import shown


class GgufWeights(Mapping[str, Tensor]):
    """Parameters by their names in transformers, dequantized to float32 from the file as they are asked for; nothing is kept in memory.

    Raises:
        RequestError: a damaged file, or a family that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.file = GgufFile(path)
        self.family, self.config = config_of(self.file.header, shown(path))
        named = ((parameter_name(self.family, name), name) for name in self.file.tensors)
        self.names: dict[str, str] = {parameter: name for parameter, name in named if parameter is not None}
        """Parameter -> tensor of the file."""

    def __getitem__(self, key: str) -> Tensor:
        tensor = self.file.read(self.names[key])
        heads = permuted_heads(self.family, key, self.config["num_attention_heads"], self.config["num_key_value_heads"])
        if heads is not None:
            tensor = unpermute(tensor, heads)
        return tensor - self.family.norm_offset if self.family.norm_offset and is_norm(key) else tensor

    def __contains__(self, key: object) -> bool:
        return key in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def rope_factors(self) -> Tensor | None:
        """By what the frequencies of Llama 3.1's rotary embedding are divided, float32 [head dim / 2]; None where they are as usual."""
        return self.file.read("rope_freqs.weight") if "rope_freqs.weight" in self.file.tensors else None

    def full_config(self) -> dict[str, Any]:
        """Contents of config.json, Phi-3's factors for long texts included."""
        names = {f"{kind}_factor": f"rope_factors_{kind}.weight" for kind in ("short", "long")}
        if not set(names.values()) <= set(self.file.tensors):
            return self.config
        factors = {key: [float(value) for value in self.file.read(name)] for key, name in names.items()}
        rope = self.config["rope_parameters"] | factors | {"rope_type": "longrope"}
        rope["original_max_position_embeddings"] = self.config["original_max_position_embeddings"]
        scale = self.file.header.metadata.get(f"{self.family.architecture}.rope.scaling.attn_factor")
        rope["attention_factor"] = scale if isinstance(scale, float) else 1.0
        return self.config | {"rope_parameters": rope}

    def write_config(self, folder: Path) -> None:
        """Put config.json into a folder."""
        (folder / "config.json").write_text(json.dumps(self.full_config()), encoding="utf-8")


def divide_frequencies(model: torch.nn.Module, factors: Tensor) -> None:
    """Give a model's rotary embedding the frequencies of a file that holds factors for them."""
    for module in model.modules():
        for name in ("inv_freq", "original_inv_freq"):
            frequencies = getattr(module, name, None)
            if isinstance(frequencies, Tensor) and frequencies.shape == factors.shape:
                setattr(module, name, frequencies / factors.to(frequencies.device))
