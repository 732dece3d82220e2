"""Codes are never read as weights: what a model has no place for is named, by whole and streamed loads alike."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from core.errors import RequestError
from core.formats.opening import open_streamed, open_whole
from core.models.card import ModelCard
from core.models.load import load_model
from core.models.stream.streaming import StreamedModel

Tensors = dict[str, Tensor]
DOWN = "model.layers.1.mlp.down_proj"


def changed(source: Path, folder: Path, change: Callable[[Tensors], object], **config: Any) -> Path:
    shutil.copytree(source, folder)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | config))
    return folder


def refused(folder: Path, words: str) -> None:
    for read in (open_whole, open_streamed, load_model):
        with pytest.raises(RequestError, match=words):
            read(folder)


def codes(dtype: torch.dtype, **scales: Tensor) -> Callable[[Tensors], object]:
    def change(tensors: Tensors) -> None:
        weight = tensors[f"{DOWN}.weight"].float()
        tensors[f"{DOWN}.weight"] = (weight / weight.abs().max() * 100).to(dtype)
        tensors.update({f"{DOWN}.{name}": scale for name, scale in scales.items()})

    return change


CODES: dict[str, Callable[[Tensors], object]] = {
    "float8, blocks": codes(torch.float8_e4m3fn, weight_scale_inv=torch.ones(1, 1)),
    "float8, ComfyUI": codes(torch.float8_e4m3fn, scale_weight=torch.ones(1)),
    "float8, other kind": codes(torch.float8_e5m2, weight_scale=torch.ones(64, 1)),
    "float8 alone": codes(torch.float8_e4m3fn),
    "int8, bitsandbytes": codes(torch.int8, SCB=torch.ones(64)),
    "uint8, nf4": codes(torch.uint8, **{"weight.absmax": torch.ones(4), "weight.quant_map": torch.ones(16)}),
}


@pytest.mark.parametrize("name", CODES)
def test_codes_without_a_scheme_are_refused(name: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    refused(changed(tiny_llama_dir, tmp_path / "m", CODES[name]), rf"{DOWN}.*quantized \(.*quantization_config")


@pytest.mark.parametrize("scale", ["weight_scale", "weight_scale_inv", "qzeros", "SCB", "input_amax", "weight.absmax"])
def test_scales_of_numbers_are_refused(scale: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    """Codes that were saved in 16 bits keep the scales that belong to them."""
    folder = changed(tiny_llama_dir, tmp_path / "m", lambda tensors: tensors.update({f"{DOWN}.{scale}": torch.ones(64, 1)}))
    refused(folder, rf"{DOWN}\.{scale}.*part of quantized weights")


@pytest.mark.parametrize("method", ["modelopt", "quip", "a-method-of-tomorrow", None])
@pytest.mark.parametrize("place", ["quantization_config", "text_config", "compression_config", "hf_quant_config.json"])
def test_unknown_methods_are_refused_wherever_they_are_stated(method: str | None, place: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    stated = {"quant_algo": "FP8"} | ({} if method is None else {"quant_method": method})
    if place.endswith(".json"):
        folder = changed(tiny_llama_dir, tmp_path / "m", lambda _: None)
        (folder / place).write_text(json.dumps(stated))
    else:
        folder = changed(tiny_llama_dir, tmp_path / "m", lambda _: None, **{place: {place: stated} if place == "text_config" else stated})
        if place == "text_config":
            (folder / "config.json").write_text(
                json.dumps(json.loads((folder / "config.json").read_text()) | {place: {"quantization_config": stated}})
            )
    if method is None and place in ("compression_config", "hf_quant_config.json"):
        method = {"compression_config": "compressed-tensors", "hf_quant_config.json": "modelopt"}[place]
    for read in (open_whole, open_streamed):
        with pytest.raises(RequestError, match="config_groups" if method == "compressed-tensors" else rf"quantized by '{method}'"):
            read(folder)


@pytest.mark.parametrize("name", [*CODES, "16 bits and scales"])
def test_what_is_not_loaded_is_not_planned_for_either(name: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    """`estimate`, `recommend` and the lists of models ask the card."""
    scales = {f"{DOWN}.weight_scale": torch.ones(64, 1)}
    folder = changed(tiny_llama_dir, tmp_path / "m", CODES.get(name, lambda tensors: tensors.update(scales)))
    with pytest.raises(RequestError, match=rf"{DOWN}.*quantization_config"):
        ModelCard.from_folder(folder)


@pytest.mark.parametrize("stated", [{}, [], "fp8", ["fp8"], 8])
@pytest.mark.parametrize("place", ["quantization_config", "compression_config"])
def test_a_scheme_that_names_no_method_is_refused_by_all(place: str, stated: Any, tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = changed(tiny_llama_dir, tmp_path / "m", lambda _: None, **{place: stated})
    for read in (open_whole, open_streamed, load_model, ModelCard.from_folder):
        with pytest.raises(RequestError, match=rf"config\.json has a {place} that states no method"):
            read(folder)


def test_a_file_for_keys_and_values_alone_leaves_the_weights_plain(tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = changed(tiny_llama_dir, tmp_path / "m", lambda _: None)
    stated = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": None, "kv_cache_quant_algo": "FP8"}}
    (folder / "hf_quant_config.json").write_text(json.dumps(stated))
    expected = AutoModelForCausalLM.from_pretrained(tiny_llama_dir, dtype=torch.float32).state_dict()
    for read in (open_whole, load_model):
        assert all(torch.equal(tensor, expected[name]) for name, tensor in read(folder, torch.float32).state_dict().items())
    assert ModelCard.from_folder(folder).quantization is None


@pytest.mark.parametrize(("file", "method"), [("quantize_config.json", "gptq"), ("quant_config.json", "awq")])
def test_the_file_that_calls_plain_weights_quantized_is_named(file: str, method: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = changed(tiny_llama_dir, tmp_path / "m", lambda _: None)
    (folder / file).write_text(json.dumps({"bits": 4, "group_size": 32}))
    for read in (open_whole, open_streamed):
        with pytest.raises(RequestError, match=rf"/{file} says that the weights are quantized \({method}\), but no tensor is: remove it"):
            read(folder)


def test_weights_of_64_bits_are_numbers(tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = changed(tiny_llama_dir, tmp_path / "m", lambda tensors: tensors.update({name: tensor.double() for name, tensor in tensors.items()}))
    expected = AutoModelForCausalLM.from_pretrained(tiny_llama_dir, dtype=torch.float32).state_dict()
    for model in (open_whole(folder, torch.float32), open_streamed(folder, torch.float32).load_whole()):
        assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


UNEXPECTED: dict[str, str] = {
    "an adapter": f"{DOWN}.lora_A.weight",
    "a bias": f"{DOWN}.bias",
    "a norm of another architecture": "model.layers.0.self_attn.q_norm.weight",
    "a third block": "model.layers.2.mlp.up_proj.weight",
    "a bias of the head": "lm_head.bias",
    "a norm behind the embedding": "model.embed_norm.weight",
    "an adapter that was not merged": "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
}


@pytest.mark.parametrize("name", UNEXPECTED)
def test_a_tensor_without_a_place_is_named(name: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = changed(tiny_llama_dir, tmp_path / "m", lambda tensors: tensors.update({UNEXPECTED[name]: torch.ones(64)}))
    refused(folder, rf"'{UNEXPECTED[name]}' .* not part of the model that config\.json describes")


def test_all_that_have_no_place_are_counted(tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = changed(tiny_llama_dir, tmp_path / "m", lambda _: None, num_hidden_layers=1)
    refused(folder, r"model\.layers\.1\.\S+' and 8 more in")


def test_a_bias_of_zeros_does_no_harm(tiny_llama_dir: Path, tmp_path: Path) -> None:
    """Older GPTQ tools wrote one for every linear."""
    folder = changed(
        tiny_llama_dir, tmp_path / "m", lambda tensors: tensors.update({f"{DOWN}.bias": torch.zeros(64), "lm_head.bias": torch.zeros(320)})
    )
    load_model(folder)
    StreamedModel.open(folder).close()


@pytest.mark.parametrize("second", [DOWN.removeprefix("model."), f"model.{DOWN}", f"module.{DOWN}", f"_orig_mod.{DOWN}", f"ema.{DOWN}"])
def test_a_second_set_of_weights_is_refused(second: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = changed(tiny_llama_dir, tmp_path / "m", lambda tensors: tensors.update({f"{second}.weight": torch.ones(64, 128)}))
    refused(folder, rf"{DOWN}\.weight")


HARMLESS = (
    "model.layers.0.self_attn.rotary_emb.inv_freq",
    "model.layers.0.self_attn.masked_bias",
    "model.layers.0.self_attn.rotary_emb.cos_cached",
    "model.embed_positions.weights",
    "model.decoder.version",
    "model.layers.0.self_attn.k_scale",
    "model.vision_tower.patch_embedding.weight",
    "mtp.layers.0.mlp.up_proj.weight",
    "v_head.summary.weight",
    "score.weight",
    "scaled_fp8",
    "model.layers.0.self_attn.rope.freqs",
    "model.layers.1.self_attn.rotary_emb.sin",
    "model.causal_mask",
    "transformer.alibi.slopes",
)


def test_what_does_not_take_part_in_reading_text_is_let_through(tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = changed(tiny_llama_dir, tmp_path / "m", lambda tensors: tensors.update({name: torch.ones(64) for name in HARMLESS}))
    tokens = torch.arange(12)[None]
    expected = AutoModelForCausalLM.from_pretrained(tiny_llama_dir, dtype=torch.float32)(tokens).logits
    with torch.no_grad():
        for model in (load_model(folder, torch.float32), StreamedModel.open(folder, torch.float32).load_whole()):
            torch.testing.assert_close(model(tokens).logits, expected)


def test_blocks_that_predict_further_tokens_are_let_through(tmp_path: Path) -> None:
    """DeepSeek-V3 and GLM-4.5 store them as further blocks of the decoder, as many as config.json says."""
    config = AutoConfig.for_model(
        "glm4_moe", hidden_size=64, intermediate_size=96, moe_intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=16, vocab_size=320, n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1, pad_token_id=None, bos_token_id=0,
        eos_token_id=1, num_nextn_predict_layers=1,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "glm")
    extra = changed(tmp_path / "glm", tmp_path / "m", lambda tensors: tensors.update({"model.layers.2.eh_proj.weight": torch.ones(64, 128)}))
    load_model(extra)
    StreamedModel.open(extra).close()
    refused(
        changed(extra, tmp_path / "n", lambda tensors: tensors.update({"model.layers.3.eh_proj.weight": torch.ones(64, 128)})), "layers.3.eh_proj"
    )


@pytest.mark.parametrize("stated", [[1, 5], 7, [3]])
def test_end_tokens_of_generation_config_are_those_of_every_reader(stated: Any, tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = changed(tiny_llama_dir, tmp_path / "m", lambda _: None)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stated, "max_length": 50}))
    expected = AutoModelForCausalLM.from_pretrained(folder).generation_config.eos_token_id
    for model in (load_model(folder), StreamedModel.open(folder).load_whole()):
        assert model.generation_config is not None
        assert model.generation_config.eos_token_id == expected == stated
    for text, words in (
        ("{", "is not valid JSON"),
        ('{"eos_token_id": ["</s>"]}', "expected a token or a list of tokens"),
        ('{"eos_token_id": "</s>"}', "expected a token"),
    ):
        (folder / "generation_config.json").write_text(text)
        for read in (load_model, StreamedModel.open):
            with pytest.raises(RequestError, match=rf"generation_config\.json .*{words}"):
                read(folder)
