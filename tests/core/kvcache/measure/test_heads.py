from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import RequestError
from core.kvcache.measure.heads import with_groups
from core.models.load import load_model


@pytest.fixture(scope="module")
def model(tiny_llama_dir: Path) -> Any:
    return load_model(tiny_llama_dir, torch.float32)


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return torch.randint(2, 300, (2, 40), generator=torch.Generator().manual_seed(1))


def test_more_heads_are_copies_and_change_nothing(model: Any, tokens: torch.Tensor) -> None:
    many = with_groups(model, 4)
    assert many.config.num_key_value_heads == 4
    assert many.get_submodule("model.layers.0.self_attn.k_proj").weight.shape == (64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(many(tokens).logits, model(tokens).logits, atol=1e-6, rtol=0)


def test_one_head_is_the_mean_of_all(model: Any, tokens: torch.Tensor) -> None:
    one = with_groups(model, 1)
    own, pooled = (m.get_submodule("model.layers.1.self_attn.v_proj").weight for m in (model, one))
    torch.testing.assert_close(pooled, (own[:16] + own[16:]) / 2)  # type: ignore[index]
    with torch.inference_mode():
        assert not torch.allclose(one(tokens).logits, model(tokens).logits, atol=1e-3)


def test_the_models_own_groups_give_the_model(model: Any, tokens: torch.Tensor) -> None:
    same = with_groups(model, 2)
    with torch.inference_mode():
        assert torch.equal(same(tokens).logits, model(tokens).logits)


def test_the_original_is_left_as_it_is_and_shares_its_other_weights(model: Any, tokens: torch.Tensor) -> None:
    before = model(tokens).logits
    one = with_groups(model, 1)
    assert model.config.num_key_value_heads == 2
    assert torch.equal(model(tokens).logits, before)
    for name in ("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"):
        assert one.get_parameter(name).data_ptr() == model.get_parameter(name).data_ptr()


def test_biases_are_pooled_like_their_rows(tokens: torch.Tensor) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(  # type: ignore[call-arg]
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4, vocab_size=320, head_dim=8
    )
    model: Any = Qwen2ForCausalLM(config).eval()
    torch.nn.init.normal_(model.model.layers[0].self_attn.k_proj.bias)
    with torch.inference_mode():
        torch.testing.assert_close(with_groups(model, 8)(tokens).logits, model(tokens).logits, atol=1e-5, rtol=0)
    bias = with_groups(model, 2).model.layers[0].self_attn.k_proj.bias
    torch.testing.assert_close(bias, model.model.layers[0].self_attn.k_proj.bias.view(2, 2, 8).mean(1).flatten())


def test_a_model_with_one_projection_for_all_is_refused() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=64, n_positions=32)).eval()
    with pytest.raises(RequestError, match="gpt2 has none"):
        with_groups(model, 1)


def test_a_norm_over_all_heads_of_keys_is_refused() -> None:
    from transformers import Olmo2Config, Olmo2ForCausalLM

    config = Olmo2Config(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, vocab_size=64)
    with pytest.raises(RequestError, match=r"k_norm\.weight belongs to all heads"):
        with_groups(Olmo2ForCausalLM(config).eval(), 4)
