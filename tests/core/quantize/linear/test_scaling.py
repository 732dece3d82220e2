"""Scales moved by the families' table change no output, and a block that is built otherwise is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.calibration.blocks import CalibratedBlock, calibrated_blocks
from core.calibration.norm_groups import RECIPES, ScaleGroup, makes_scores, recipe_of
from core.errors import RequestError
from core.models.stream.streaming import StreamedModel
from core.numerics.grid import Grid
from core.quantize.linear.scaling import LoadedGroup, ParentLoss, family_of, fold, load_groups, rounded, stored_dtypes

TOKENS = torch.randint(0, 300, (3, 24), generator=torch.Generator().manual_seed(0))
CLASSIC: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 320, "max_position_embeddings": 128}
MODERN = CLASSIC | {"intermediate_size": 96, "num_key_value_heads": 4, "head_dim": 16, "pad_token_id": None}
GROUPED = MODERN | {"num_key_value_heads": 2}
OPT = CLASSIC | {"ffn_dim": 96, "word_embed_proj_dim": 64}
GPT_NEO = {
    "hidden_size": 64,
    "num_layers": 2,
    "num_heads": 4,
    "vocab_size": 320,
    "max_position_embeddings": 128,
    "attention_types": [[["global", "local"], 1]],
}
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "llama": ("llama", MODERN, 4),
    "llama with grouped queries": ("llama", GROUPED, 3),
    "llama with biases": ("llama", MODERN | {"attention_bias": True, "mlp_bias": True}, 4),
    "mistral": ("mistral", GROUPED | {"sliding_window": 8}, 3),
    "qwen2": ("qwen2", MODERN, 4),
    "qwen3": ("qwen3", MODERN, 4),
    "smollm3": ("smollm3", MODERN, 4),
    "ministral": ("ministral", GROUPED | {"sliding_window": 8}, 3),
    "ernie4_5": ("ernie4_5", MODERN, 4),
    "seed_oss": ("seed_oss", MODERN, 4),
    "hunyuan_v1_dense": ("hunyuan_v1_dense", MODERN, 4),
    "helium": ("helium", MODERN, 4),
    "stablelm": ("stablelm", MODERN | {"use_qkv_bias": True}, 4),
    "granite": ("granite", MODERN | {"residual_multiplier": 0.5}, 4),
    "gemma": ("gemma", MODERN, 4),
    "gemma2": ("gemma2", MODERN | {"sliding_window": 8}, 4),
    "gemma3_text": ("gemma3_text", MODERN | {"sliding_window": 8}, 4),
    "phi3": ("phi3", MODERN, 4),
    "phi3 with grouped queries": ("phi3", GROUPED, 3),
    "glm": ("glm", MODERN | {"attention_bias": True}, 4),
    "glm4": ("glm4", MODERN, 4),
    "phi": ("phi", CLASSIC | {"intermediate_size": 96}, 2),
    "cohere": ("cohere", MODERN, 3),
    "cohere2": ("cohere2", MODERN | {"sliding_window": 8}, 3),
    "opt": ("opt", OPT, 4),
    "opt with a smooth activation": ("opt", OPT | {"activation_function": "gelu"}, 3),
    "starcoder2": ("starcoder2", MODERN | {"use_bias": True}, 3),
    "nemotron": ("nemotron", MODERN, 3),
    "gptj": ("gptj", {"n_embd": 64, "n_layer": 2, "n_head": 4, "rotary_dim": 8, "vocab_size": 320, "n_positions": 128}, 2),
    "gpt_neo": ("gpt_neo", GPT_NEO, 3),
    "mpt": ("mpt", {"d_model": 64, "n_layers": 2, "n_heads": 4, "vocab_size": 320, "max_seq_len": 128}, 2),
    "gpt_bigcode": ("gpt_bigcode", {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 320, "n_positions": 128}, 2),
    "gpt_neox": ("gpt_neox", CLASSIC | {"intermediate_size": 96}, 2),
    "bloom": ("bloom", {"hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 320}, 2),
}


def save(family: str, settings: dict[str, Any], folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    """A model with random weights, norms and biases too, so that a forgotten one shows."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.to(dtype).save_pretrained(folder)
    return folder


def first_block(streamed: StreamedModel) -> CalibratedBlock:
    return next(calibrated_blocks(streamed, TOKENS))


def groups_of(streamed: StreamedModel, block: CalibratedBlock) -> list[LoadedGroup]:
    family = family_of(streamed)
    recipe = recipe_of(family, "awq")
    return load_groups(block, recipe.groups, recipe, family)


def output(block: CalibratedBlock) -> Tensor:
    (call,) = block.sample([""], 24)[""]
    with torch.no_grad():
        return call(block.module).float()


def random_scales(width: int) -> Tensor:
    return torch.exp(torch.randn(width, generator=torch.Generator().manual_seed(width)))


def test_every_family_of_the_table_is_tried_here() -> None:
    assert {family for family, _, _ in CASES.values()} == set(RECIPES) - {"gpt2"}  # whose linears are transposed: refused when found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore")
def test_folding_scales_into_a_block_leaves_its_outputs_as_they_were(case: str, tmp_path: Path) -> None:
    family, settings, count = CASES[case]
    with StreamedModel.open(save(family, settings, tmp_path / "model")) as streamed:
        block = first_block(streamed)
        before, groups, stored = output(block), groups_of(streamed, block), stored_dtypes(block, streamed)
        assert len(groups) == count
        for group in groups:
            weights = [weight.clone() for weight in group.weights]
            changed = fold(group, random_scales(group.readers[0].in_features), stored)
            assert not any(torch.equal(old, new) for old, new in zip(weights, group.weights, strict=True))
            assert all(block.module.get_parameter(name).dtype == torch.float32 for name in changed)
            torch.testing.assert_close(output(block), before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_rounding_a_norm_to_its_stored_dtype_cancels(family: str, tmp_path: Path) -> None:
    with StreamedModel.open(save(family, MODERN, tmp_path / "model", torch.bfloat16), torch.float32) as streamed:
        block = first_block(streamed)
        before = output(block)
        for group in groups_of(streamed, block):
            for name in fold(group, random_scales(group.readers[0].in_features), stored_dtypes(block, streamed)):
                parameter = block.module.get_parameter(name)
                assert torch.equal(parameter, parameter.bfloat16().float())
        torch.testing.assert_close(output(block), before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))


def test_a_feature_whose_norm_weight_is_zero_keeps_its_scale(tmp_path: Path) -> None:
    with StreamedModel.open(save("llama", MODERN, tmp_path / "model")) as streamed:
        block = first_block(streamed)
        group = groups_of(streamed, block)[0]
        group.source.get_parameter("weight").data[3] = 0
        before, columns = output(block), group.weights[0][:, 3].clone()
        fold(group, random_scales(64), stored_dtypes(block, streamed))
        torch.testing.assert_close(output(block), before, rtol=1e-4, atol=1e-4)
        assert torch.equal(group.weights[0][:, 3], columns)


@pytest.mark.parametrize(
    ("family", "settings", "what"),
    [
        ("stablelm", MODERN | {"use_parallel_residual": True}, "no post_attention_layernorm"),
        ("opt", OPT | {"do_layer_norm_before": False, "word_embed_proj_dim": 64}, "do_layer_norm_before is False"),
        ("bloom", CASES["bloom"][1] | {"apply_residual_connection_post_layernorm": True}, "apply_residual_connection_post_layernorm is True"),
    ],
)
def test_options_under_which_the_table_does_not_hold_are_refused(family: str, settings: dict[str, Any], what: str, tmp_path: Path) -> None:
    with StreamedModel.open(save(family, settings, tmp_path / "model")) as streamed, pytest.raises(RequestError, match=what):
        groups_of(streamed, first_block(streamed))


def test_a_block_that_is_built_otherwise_is_refused(tmp_path: Path) -> None:
    norm, readers = "input_layernorm", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    recipe = RECIPES["llama"]
    wrong = {
        "has no other_norm": ScaleGroup("other_norm", readers, "self_attn"),
        "are not linears of one width": ScaleGroup(norm, ("self_attn.q_proj", "mlp.down_proj"), "self_attn"),
        "has no weight that scales could be moved into": ScaleGroup("mlp.act_fn", readers, "self_attn"),
        "does not read the output of post_attention_layernorm": ScaleGroup("post_attention_layernorm", readers, "self_attn"),
        "feeds self_attn.k_proj, self_attn.q_proj, self_attn.v_proj": ScaleGroup(norm, readers[:2], "self_attn"),
    }
    with StreamedModel.open(save("llama", MODERN, tmp_path / "model")) as streamed:
        block = first_block(streamed)
        for what, group in wrong.items():
            with pytest.raises(RequestError, match=what):
                load_groups(block, [group], recipe, "llama")


def test_a_family_without_a_row_is_offered_other_methods() -> None:
    with pytest.raises(RequestError, match=r"'mamba.\[2J'.*gptq or rtn"):
        recipe_of("mamba\x1b[2J", "awq")


def test_queries_and_keys_are_known_by_name() -> None:
    assert all(makes_scores(f"model.layers.0.self_attn.{name}") for name in ("q_proj", "k_proj", "qkv_proj"))
    assert not any(makes_scores(f"model.layers.0.{name}") for name in ("self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj"))


@pytest.mark.parametrize("tokens", [24, 72])
def test_the_loss_of_a_linear_parent_is_that_of_a_forward_pass(tokens: int, tmp_path: Path) -> None:
    with StreamedModel.open(save("llama", MODERN, tmp_path / "model")) as streamed:
        block = first_block(streamed)
        (group,) = (group for group in groups_of(streamed, block) if group.names.source == "self_attn.v_proj")
        calls = block.sample([group.names.parent], tokens)[group.names.parent]
        weight = group.weights[0] + 0.01 * torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
        inputs = torch.cat([call.args[0].flatten(0, -2) for call in calls])
        assert len(inputs) == tokens
        expected = nn.functional.linear(inputs.double(), (weight - group.weights[0]).double()).square().sum()
        assert ParentLoss(group, calls)([weight]) == pytest.approx(float(expected), rel=1e-4)
        assert ParentLoss(group, calls)([weight], lambda values: values) == pytest.approx(float(expected), rel=1e-3)


def test_the_loss_of_a_module_is_that_of_its_outputs_and_leaves_the_weights_alone(tmp_path: Path) -> None:
    with StreamedModel.open(save("llama", MODERN, tmp_path / "model")) as streamed:
        block = first_block(streamed)
        group = groups_of(streamed, block)[0]
        calls = block.sample(["self_attn"], 48)["self_attn"]
        before = [weight.clone() for weight in group.weights]
        loss = ParentLoss(group, calls)
        assert loss(before) == 0
        changed = [weight * 1.01 for weight in before]
        found = loss(changed)
        assert all(torch.equal(old, reader.weight) for old, reader in zip(before, group.readers, strict=True))
        with torch.no_grad():
            right = calls[0](block.module.self_attn)  # type: ignore[arg-type]
            for reader, weight in zip(group.readers, changed, strict=True):
                reader.weight.data = weight
            assert found == pytest.approx(float((calls[0](block.module.self_attn) - right).square().sum()), rel=1e-4)  # type: ignore[arg-type]


def test_inputs_of_readers_are_rounded_once_and_in_their_place(tmp_path: Path) -> None:
    with StreamedModel.open(save("llama", MODERN, tmp_path / "model")) as streamed:
        block = first_block(streamed)
        group = groups_of(streamed, block)[0]
        calls, seen = block.sample(["self_attn"], 48)["self_attn"], []

        def halve(inputs: Tensor) -> Tensor:
            seen.append(inputs)
            return inputs / 2

        loss = ParentLoss(group, calls)
        assert loss([weight * 2 for weight in group.weights], halve) < 1e-6
        assert len(seen) == len(calls) == 1
        assert all(not reader._forward_pre_hooks for reader in group.readers)


def test_rounding_matches_the_method_rtn() -> None:
    from core.quantize.linear import rtn

    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    for grid in (Grid(4, True, "group", 32), Grid(3, False, "group", 16), Grid(8, True, "channel")):
        assert torch.equal(rounded(weight, grid), rtn.quantize(weight, None, grid).dequantize())
