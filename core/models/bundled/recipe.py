"""The two bundled models: shapes, tokenizer and data, as `python -m core.models.bundled.train` makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor

from core import text

VOCABULARY = 4096
CONTEXT = 1024
STEPS = {"base": 1100, "draft": 720}
BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
SPECIAL = [BOS, EOS, "<|system|>", "<|user|>", "<|assistant|>"]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)

_SHARED: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": VOCABULARY,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": CONTEXT,
    "tie_word_embeddings": True,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "base": {**_SHARED, "num_hidden_layers": 10},
    "draft": {**_SHARED, "num_hidden_layers": 2},
}


def train_tokenizer() -> Tokenizer:
    """A byte-level BPE of `VOCABULARY` words with GPT-2's pre-tokenizer, learnt on the train split."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator((document for path, document in text.documents_of("train") if not _is_test(path)), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, 0)])
    return tokenizer


def token_stream(tokenizer: Tokenizer, cache: Path) -> NDArray[np.uint16]:
    """All training tokens in one row, each document opened by BOS; library modules stand in it twice, tests once."""
    if cache.exists():
        cached: NDArray[np.uint16] = np.load(cache, allow_pickle=False)
        return cached
    documents = sorted(text.documents_of("train"), key=lambda item: item[0])
    texts = [document for path, document in documents for _ in range(1 if _is_test(path) else 2)]
    order = np.random.default_rng(0).permutation(len(texts))
    encoded = tokenizer.encode_batch([texts[index] for index in order])
    stream = np.concatenate([np.asarray(encoding.ids, dtype=np.uint16) for encoding in encoded])
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.save(cache, stream)
    return stream


def batches(stream: NDArray[np.uint16], steps: int, tokens_per_step: int = 8192, long_from: float = 0.65) -> Callable[[int], Tensor]:
    """Batch of a step, int64 [rows, context + 1]: contexts of 512, and of `CONTEXT` from `long_from` of the steps on.

    Within an epoch no window is drawn twice; each epoch shifts the windows by another offset.
    """

    def batch(step: int) -> Tensor:
        context = CONTEXT if step >= int(steps * long_from) else CONTEXT // 2
        rows = tokens_per_step // context
        windows = (len(stream) - CONTEXT - 1) // context
        epoch, index = divmod(step * rows, windows)
        draw = np.random.default_rng((epoch, context))
        shift, order = int(draw.integers(context)), draw.permutation(windows)
        chosen = order[np.arange(index, index + rows) % windows]
        return torch.from_numpy(np.stack([stream[shift + window * context :][: context + 1] for window in chosen]).astype(np.int64))

    return batch


def _is_test(path: str) -> bool:
    return path.startswith("test/")
