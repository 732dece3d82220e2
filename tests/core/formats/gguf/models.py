"""Tiny random models of every family that GGUF is written for, with a SentencePiece or a byte-level tokenizer."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3")

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-5,
}
_OF_FAMILY: dict[str, dict[str, Any]] = {
    "llama": {"head_dim": 32, "attention_bias": True},
    "mistral": {"head_dim": 32, "sliding_window": None},
    "qwen3": {"head_dim": 32},
    "gemma": {"head_dim": 32},
    "gemma2": {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16},
    "gemma3_text": {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16, "sliding_window_pattern": 3},
    "phi3": {"sliding_window": None},
}
PIECES = [
    "<unk>",
    "<s>",
    "</s>",
    *(f"<0x{byte:02X}>" for byte in range(256)),
    "\u2581",
    *"etaoinsh",
    "\u2581t",
    "he",
    "in",
    "\u2581a",
    "\u2581the",
    "th",
]


def make_model(folder: Path, model_type: str, *, tokenizer: bool = True, dtype: str = "bfloat16", **changes: Any) -> Path:
    """Save a random model; norms and biases are random too, so that nothing can be forgotten unseen."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(model_type, **(SIZES | _OF_FAMILY.get(model_type, {}) | changes))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
        elif "embed" not in name:
            parameter.data.normal_(0, 0.1, generator=generator)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    if tokenizer:
        write_sentencepiece(folder)
    return folder


def write_sentencepiece(folder: Path, pieces: Iterable[str] = PIECES) -> None:
    """tokenizer.model and the tokenizer.json that transformers would make of it."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors

    rows = list(pieces)
    byte_pairs_with_byte_fallback = b"\x18\x02\x98\x02\x01"
    model = b"".join(_field(1, _piece(text, index)) for index, text in enumerate(rows)) + _field(2, byte_pairs_with_byte_fallback)
    (folder / "tokenizer.model").write_bytes(model)
    vocabulary = {text: index for index, text in enumerate(rows)}
    merges = sorted(
        (vocabulary[text], (text[:cut], text[cut:]))
        for text in rows[259:]
        for cut in range(1, len(text))
        if text[:cut] in vocabulary and text[cut:] in vocabulary
    )
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[pair for _, pair in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": "{{ messages }}", "add_bos_token": True}))


def _piece(text: str, index: int) -> bytes:
    kind = 2 if index == 0 else 3 if index < 3 else 6 if text.startswith("<0x") else 1
    return _field(1, text.encode()) + b"\x15" + struct.pack("<f", -float(index)) + b"\x18" + bytes([kind])


def _field(number: int, data: bytes) -> bytes:
    length, encoded = len(data), b""
    while True:
        encoded += bytes([length & 0x7F | (0x80 if length > 0x7F else 0)])
        length >>= 7
        if not length:
            return bytes([number << 3 | 2]) + encoded + data
