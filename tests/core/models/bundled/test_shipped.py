"""The models in the package are those of the recipe, and know the text that they have not seen."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
import torch

from core import text
from core.evaluate.encoding import encode
from core.models import bundled
from core.models.bundled import recipe
from core.models.load import load_model, load_tokenizer
from core.models.resolve import resolve
from tests.core.evaluate.measure import divergence, perplexity

PACKAGE = Path(bundled.__file__).parent


@pytest.mark.parametrize("name", ["base", "draft"])
def test_the_card_is_that_of_the_recipe(name: str) -> None:
    card = resolve(f"bundled:{name}").card()
    made = recipe.CONFIGS[name]
    assert card.architecture == "LlamaForCausalLM"
    assert (card.layers, card.hidden_size, card.heads, card.kv_heads) == (made["num_hidden_layers"], 256, 4, 2)
    assert (card.vocabulary, card.context, card.tied_embeddings, card.chat_template) == (recipe.VOCABULARY, recipe.CONTEXT, True, True)
    assert card.file_bytes == pytest.approx(2 * card.parameters, rel=0.01), "bfloat16"


def test_both_fit_in_the_package_and_share_one_tokenizer() -> None:
    assert sum(path.stat().st_size for name in ("base", "draft") for path in (PACKAGE / name).iterdir()) < 24e6
    assert (PACKAGE / "base" / "tokenizer.json").read_bytes() == (PACKAGE / "draft" / "tokenizer.json").read_bytes()
    assert len(json.loads((PACKAGE / "base" / "tokenizer.json").read_text())["model"]["vocab"]) == recipe.VOCABULARY


def test_a_chat_opens_with_bos_and_ends_where_the_assistant_speaks() -> None:
    tokenizer = load_tokenizer(PACKAGE / "base")
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "sort a list"}], add_generation_prompt=True)["input_ids"]  # type: ignore[call-overload, index]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids) == "<|begin_of_text|><|user|>\nsort a list\n<|assistant|>\n"  # type: ignore[arg-type]


def test_base_predicts_unseen_text_far_better_than_xz_and_draft_follows_it() -> None:
    corpus = text.builtin("held-out")
    encoding = encode(corpus, load_tokenizer(PACKAGE / "base"), 4096)
    base, draft = (load_model(PACKAGE / name, torch.float32) for name in ("base", "draft"))
    found = perplexity(base, encoding.tokens, 512, token_bytes=encoding.token_bytes)
    xz = 8 * len(lzma.compress(corpus.text.encode(), preset=9)) / corpus.n_bytes
    assert found.bits_per_byte is not None
    assert found.bits_per_byte < 0.75 * xz
    followed = divergence(base, draft, encoding.tokens, 512)
    assert followed.kl_mean < 0.6
    assert followed.top1_agreement > 0.6
