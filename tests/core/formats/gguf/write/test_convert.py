"""What is written as GGUF, asked of readers that are not ours: the gguf package and transformers' own loader."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader, dequantize
from safetensors.torch import load_file, save_file

from core.errors import RequestError, RunFailed
from core.formats.gguf.read.weights import GgufWeights, divide_frequencies
from core.formats.gguf.write.convert import convert, permute, plan_conversion, unpermute
from tests.core.formats.gguf.models import FAMILIES, make_model

TOKENS = torch.arange(4, 60).view(1, -1)


def written(folder: Path, path: Path, level: str = "F32") -> Path:
    convert(plan_conversion(folder, folder.name), path, level)
    return path


@torch.no_grad()
def logits_of(folder: Path) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model(TOKENS).logits[0]


@torch.no_grad()
def logits_of_file(path: Path, folder: Path) -> torch.Tensor:
    """Logits of the model that our own reader rebuilds."""
    from transformers import AutoConfig, AutoModelForCausalLM

    weights = GgufWeights(path)
    weights.write_config(folder)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32).eval()
    missing = model.load_state_dict(dict(weights), strict=False)
    assert not missing.unexpected_keys
    assert set(missing.missing_keys) <= {"lm_head.weight"}
    model.tie_weights()
    if (factors := weights.rope_factors()) is not None:
        divide_frequencies(model, factors)
    return model(TOKENS).logits[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_comes_back_as_it_was(name: str, family_dirs: dict[str, Path], tmp_path: Path) -> None:
    path = written(family_dirs[name], tmp_path / "m.gguf")
    torch.testing.assert_close(logits_of_file(path, tmp_path), logits_of(family_dirs[name]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in ("mistral", "gemma", "phi3")])
def test_transformers_reads_the_same_weights(name: str, family_dirs: dict[str, Path], tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    original = AutoModelForCausalLM.from_pretrained(family_dirs[name], dtype=torch.float32)
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(family_dirs[name]))
    theirs = load_gguf_checkpoint(str(written(family_dirs[name], tmp_path / "m.gguf")), return_tensors=True, model_to_load=empty)["tensors"]
    for parameter, values in original.state_dict().items():
        if parameter != "lm_head.weight" or parameter in theirs:
            torch.testing.assert_close(theirs[parameter], values, rtol=0, atol=1e-6, msg=parameter)


@pytest.mark.parametrize("level", ["F32", "F16", "BF16", "Q8_0"])
def test_values_are_those_of_the_gguf_package(level: str, family_dirs: dict[str, Path], tmp_path: Path) -> None:
    folder = family_dirs["qwen2"]
    path, original = written(folder, tmp_path / "m.gguf", level), load_file(folder / "model.safetensors")
    reader = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    down = reader["blk.1.ffn_down.weight"]
    assert down.tensor_type.name == level
    values = dequantize(down.data, down.tensor_type).reshape(64, 96)
    limit = {"Q8_0": 0.6 / 127 * float(original["model.layers.1.mlp.down_proj.weight"].abs().max())}.get(level, 1e-3)
    assert np.abs(values - original["model.layers.1.mlp.down_proj.weight"].float().numpy()).max() <= limit
    assert reader["blk.1.attn_q.bias"].tensor_type.name == reader["output_norm.weight"].tensor_type.name == "F32"
    torch.testing.assert_close(GgufWeights(path)["model.layers.1.mlp.down_proj.weight"], torch.tensor(values))


def test_rows_that_fill_no_blocks_stay_in_16_bits(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "narrow", "qwen2", intermediate_size=80)
    weights = GgufWeights(written(folder, tmp_path / "m.gguf", "Q8_0"))
    assert weights.file.block("blk.0.ffn_down.weight") == "F16"
    assert weights.file.block("blk.0.ffn_up.weight") == "Q8_0"


def test_permuting_puts_the_halves_of_a_head_side_by_side() -> None:
    rows = torch.arange(16).view(16, 1).expand(16, 3).contiguous()
    assert permute(rows, 2)[:, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]
    assert torch.equal(unpermute(permute(rows, 2), 2), rows)
    assert permute(rows[:, 0].contiguous(), 2).shape == (16,)


def test_gemma_s_norms_are_stored_with_one_added(family_dirs: dict[str, Path], tmp_path: Path) -> None:
    path = written(family_dirs["gemma2"], tmp_path / "m.gguf")
    stored = next(tensor for tensor in GGUFReader(path).tensors if tensor.name == "blk.0.post_ffw_norm.weight")
    original = load_file(family_dirs["gemma2"] / "model.safetensors")["model.layers.0.post_feedforward_layernorm.weight"]
    assert np.array_equal(stored.data, original.float().numpy() + 1)


@pytest.mark.parametrize(
    ("name", "rope"),
    [
        ("llama", {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                   "original_max_position_embeddings": 32}),
        ("qwen2", {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}),
        ("qwen3", {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32}),
        ("mistral", {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32, "attention_factor": 1.3}),
        ("qwen2", {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0, "original_max_position_embeddings": 64, "mscale": 0.7,
                   "mscale_all_dim": 1.0}),
        ("phi3", {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 8, "long_factor": [1.0 + i / 4 for i in range(8)],
                  "original_max_position_embeddings": 32}),
        ("phi3", {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 8, "long_factor": [2.0] * 8,
                  "original_max_position_embeddings": 32, "attention_factor": 1.7}),
        ("phi3", {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 8, "long_factor": [2.0] * 8,
                  "original_max_position_embeddings": 32, "factor": 8.0}),
    ],
)  # fmt: skip
def test_scaled_rotary_embeddings_come_back(name: str, rope: dict[str, object], tmp_path: Path) -> None:
    extra = {"original_max_position_embeddings": 32} if name == "phi3" else {}
    folder = make_model(tmp_path / name, name, rope_parameters=rope, **extra)  # type: ignore[arg-type]
    path = written(folder, tmp_path / "m.gguf")
    torch.testing.assert_close(logits_of_file(path, tmp_path), logits_of(folder), rtol=1e-4, atol=1e-4)


def test_nothing_is_left_behind_when_it_fails(family_dirs: dict[str, Path], tmp_path: Path) -> None:
    def stop(name: str) -> None:
        if name == "blk.1.ffn_up.weight":
            raise RequestError("stop")

    with pytest.raises(RequestError, match="stop"):
        convert(plan_conversion(family_dirs["qwen2"], "m"), tmp_path / "m.gguf", "Q8_0", stop)
    assert list(tmp_path.iterdir()) == []


def altered(folder: Path, target: Path, **changes: object) -> Path:
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    config = json.loads((target / "config.json").read_text()) | changes
    (target / "config.json").write_text(json.dumps(config))
    return target


PLAIN: dict[str, object] = {"rope_type": "default", "rope_theta": 1e4}


def test_what_llama_cpp_cannot_do_is_refused(family_dirs: dict[str, Path], tmp_path: Path) -> None:
    cases = {
        "a": ("gemma2", {"query_pre_attn_scalar": 99}, "root of 32"),
        "b": ("llama", {"hidden_act": "relu"}, "computes llama models with silu"),
        "c": ("qwen2", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "no rotary embedding of the kind 'dynamic'"),
        "d": ("llama", {"model_type": "olmo2"}, "choose one of llama"),
        "e": ("llama", {"num_hidden_layers": 4}, "no tensor that would become blk.3"),
        "f": ("llama", {"num_hidden_layers": 2}, "more blocks than the 2"),
        "g": ("llama", {"vocab_size": 330}, "do not belong to this config.json"),
        "h": ("mistral", {"rope_parameters": PLAIN | {"partial_rotary_factor": 0.5}}, "rotates all 32 values .* config.json says 16"),
        "i": ("qwen3", {"rope_parameters": PLAIN | {"partial_rotary_factor": 0.25}}, "rotates all 32 values .* config.json says 8"),
        "j": ("gemma2", {"attn_logit_softcapping": None}, "has no attn_logit_softcapping"),
        "k": ("gemma2", {"final_logit_softcapping": None}, "has no final_logit_softcapping"),
        "l": ("gemma3_text", {"use_bidirectional_attention": True}, "attend to earlier tokens only"),
        "m": (
            "gemma3_text",
            {"rope_parameters": {"full_attention": PLAIN, "sliding_attention": PLAIN | {"rope_type": "linear", "factor": 2.0}}},
            "does not scale the rotary embedding of gemma3_text's sliding blocks",
        ),
    }
    for name, (model, changes, message) in cases.items():
        with pytest.raises(RequestError, match=message):
            plan_conversion(altered(family_dirs[model], tmp_path / name, **changes), "m")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["qwen3", "gemma", "gemma3_text"])
def test_a_bias_that_llama_cpp_has_no_place_for_is_refused(name: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / name, name, attention_bias=True)
    with pytest.raises(
        RequestError, match=rf"llama.cpp's {name} models have no bias where the checkpoint has 'model.layers.0.self_attn.o_proj.bias'"
    ):
        plan_conversion(folder, "m")


def test_weights_that_overflow_half_precision_are_named(tmp_path: Path, family_dirs: dict[str, Path]) -> None:
    folder = altered(family_dirs["qwen2"], tmp_path / "big")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][0, 0] = 1e6
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(RunFailed, match=r"layers.1.mlp.up_proj.*choose level BF16"):
        written(folder, tmp_path / "m.gguf", "F16")
    assert not (tmp_path / "m.gguf").exists()


def test_mistral_s_window_is_told(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", "mistral", sliding_window=32)
    assert "sliding window of 32" in plan_conversion(folder, "m").notes[0]
