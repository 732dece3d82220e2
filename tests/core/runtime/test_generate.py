"""The loop against transformers' generate, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from core.errors import RequestError, RunFailed
from core.models.load import load_model, load_tokenizer
from core.models.resolve import resolve
from core.runtime.cache import KvCache
from core.runtime.caches.dynamic import DynamicKvLayer
from core.runtime.generate import Generated, eos_tokens, generate, stream
from core.runtime.module import ModuleDecoder
from core.runtime.sampling import Sampling
from tests.conftest import TINY_LLAMA


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**TINY_LLAMA)).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def prompt() -> Tensor:
    return torch.randint(2, 320, (1, 11), generator=torch.Generator().manual_seed(1))


def transformers_tokens(model: Any, prompt: Tensor, count: int, mask: Tensor | None = None, **options: Any) -> list[list[int]]:
    mask = torch.ones_like(prompt) if mask is None else mask.long()
    options = {"do_sample": False, "pad_token_id": 0, "eos_token_id": None} | options
    return model.generate(prompt, attention_mask=mask, max_new_tokens=count, **options)[:, prompt.shape[1] :].tolist()


def test_greedy_is_transformers_token_for_token(model: Any, prompt: Tensor) -> None:
    assert generate(model, prompt, max_new_tokens=40).tokens == transformers_tokens(model, prompt, 40)


def test_greedy_with_a_penalty_is_transformers_too(model: Any, prompt: Tensor) -> None:
    found = generate(model, prompt, max_new_tokens=40, sampling=Sampling(repetition_penalty=1.3)).tokens
    assert found == transformers_tokens(model, prompt, 40, repetition_penalty=1.3)
    assert found != transformers_tokens(model, prompt, 40)


def test_a_padded_batch_is_transformers_and_each_row_alone(model: Any, prompt: Tensor) -> None:
    lengths = [11, 4, 8]
    rows = [prompt[0, -length:] for length in lengths]
    padded = torch.stack([torch.cat((torch.zeros(11 - len(row), dtype=torch.int64), row)) for row in rows])
    real = torch.arange(11)[None] >= 11 - torch.tensor(lengths)[:, None]
    found = generate(model, padded, max_new_tokens=20, real=real).tokens
    assert found == transformers_tokens(model, padded, 20, real)
    assert found == [generate(model, row, max_new_tokens=20).tokens[0] for row in rows]


def test_a_stop_token_ends_its_row_and_no_other(model: Any, prompt: Tensor) -> None:
    batch = torch.cat((prompt, prompt.flip(1)))
    free = generate(model, batch, max_new_tokens=12).tokens
    stop = free[0][3]
    found = generate(model, batch, max_new_tokens=12, stop_tokens=[stop])
    ends = [row.index(stop) + 1 if stop in row else 12 for row in free]
    assert found.tokens == [row[:end] for row, end in zip(free, ends, strict=True)]
    assert found.finish[0] == "stop-token"
    assert found.finish[1] == ("stop-token" if stop in free[1] else "length")


def test_equal_seeds_give_equal_texts(model: Any, prompt: Tensor) -> None:
    sampling = Sampling(temperature=1.0, top_p=0.9)
    first, again, other = (generate(model, prompt, max_new_tokens=30, sampling=sampling, seed=seed).tokens for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_sampled_tokens_have_the_frequencies_of_the_model(model: Any, prompt: Tensor) -> None:
    count = 4000
    sampling = Sampling(temperature=0.7, top_k=8)
    drawn = torch.tensor(generate(model, prompt.expand(count, -1), max_new_tokens=1, sampling=sampling).tokens)[:, 0]
    logits = model(prompt).logits[0, -1].double() / 0.7
    kept, tokens = logits.topk(8)
    expected = kept.softmax(-1)
    assert set(drawn.tolist()) <= set(tokens.tolist())
    found = (drawn[:, None] == tokens).double().mean(0)
    assert ((found - expected).abs() / (expected * (1 - expected) / count).sqrt()).max() < 4.5


def test_the_dynamic_cache_and_chunks_change_nothing(model: Any, prompt: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.runtime.prefill.CHUNK", 3)
    cache = KvCache([DynamicKvLayer() for _ in range(2)])
    assert generate(model, prompt, max_new_tokens=20, cache=cache).tokens == transformers_tokens(model, prompt, 20)


def test_text_arrives_step_by_step_and_ends_before_a_stop_string() -> None:
    source = resolve("bundled:base")
    model, tokenizer = load_model(source, torch.float32), load_tokenizer(source)
    prompt = torch.tensor(tokenizer("import os\n\n\ndef read(path):\n").input_ids)
    whole = generate(model, prompt, max_new_tokens=24, tokenizer=tokenizer)
    assert whole.texts[0] == tokenizer.decode(whole.tokens[0])
    stop = whole.texts[0][9:13]
    steps = list(stream(model, prompt, max_new_tokens=24, tokenizer=tokenizer, stop_strings=[stop]))
    assert "".join(step.texts[0] for step in steps) == whole.texts[0][: whole.texts[0].index(stop)]
    assert steps[-1].over == ["stop-string"]
    assert len(steps) < 24


def test_a_decoder_can_be_used_again(model: Any, prompt: Tensor) -> None:
    decoder = ModuleDecoder(model, 40)
    first: Generated = generate(decoder, prompt, max_new_tokens=10)
    assert generate(decoder, prompt, max_new_tokens=10).tokens == first.tokens


def test_predictions_that_are_not_numbers_are_named_with_their_step(prompt: Tensor) -> None:
    torch.manual_seed(0)
    broken = LlamaForCausalLM(LlamaConfig(**TINY_LLAMA)).eval().requires_grad_(False)
    tokens = generate(broken, prompt, max_new_tokens=3).tokens[0]
    with torch.no_grad():
        broken.model.embed_tokens.weight[tokens[1]] = torch.nan
    if tokens[1] in (*prompt[0].tolist(), tokens[0]):
        pytest.fail("the token must occur first at the second step")
    with pytest.raises(RunFailed, match="logits contain NaN or Inf at step 3"):
        generate(broken, prompt, max_new_tokens=5)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"tokens": torch.empty(1, 0, dtype=torch.int64)}, "prompt is empty"),
        ({"tokens": torch.zeros(1, 120, dtype=torch.int64), "max_new_tokens": 20}, "context of 128"),
        ({"max_new_tokens": 0}, "at least one"),
        ({"stop_strings": ["a"]}, "tokenizer"),
        ({"real": torch.zeros(1, 11, dtype=torch.bool)}, "empty"),
    ],
)
def test_what_cannot_be_decoded_is_refused(model: Any, prompt: Tensor, options: dict[str, Any], word: str) -> None:
    with pytest.raises(RequestError, match=word):
        generate(model, options.pop("tokens", prompt), **options)


def test_a_decoder_that_is_too_short_is_refused(model: Any, prompt: Tensor) -> None:
    with pytest.raises(RequestError, match="do not fit the cache of 12"):
        generate(ModuleDecoder(model, 12), prompt, max_new_tokens=3)


def test_the_tokens_that_end_a_text_come_from_the_model() -> None:
    assert eos_tokens(load_model(resolve("bundled:base"))) == (1,)
