"""A streamed model computes what the whole model computes, and refuses what it cannot stream."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import RequestError, RunFailed
from core.models.resolve import resolve
from core.models.stream.streaming import StreamedModel, load_model, load_tokenizer
from core.models.structure import find_blocks, find_linears
from tests.core.models.families import FAMILIES, save


def stream(model: StreamedModel, windows: Tensor, rows: int = 2) -> Tensor:
    """Logits, with one block in memory and `rows` windows at a time."""
    inputs = model.capture(windows)
    hidden = inputs.hidden
    for index in range(model.n_blocks):
        block = model.load_block(index)
        parts = [model.run_block(block, hidden[row : row + rows], index, inputs, first=row) for row in range(0, len(hidden), rows)]
        hidden = torch.cat(parts)
        model.release_block(index)
    return torch.cat([model.logits(part) for part in torch.split(hidden, rows)])


def windows_of(count: int = 3, length: int = 24) -> Tensor:
    return torch.randint(2, 320, (count, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in {"gemma3", "gemma3n_text"}])
def test_streamed_logits_equal_the_whole_models(family: str, tmp_path: Path) -> None:
    folder = save(family, tmp_path / "model")
    whole = load_model(folder, torch.float32)
    with StreamedModel.open(folder, torch.float32) as streamed, torch.no_grad():
        logits = stream(streamed, windows_of())
        assert logits.dtype == torch.float32
        torch.testing.assert_close(logits, whole(input_ids=windows_of()).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gemma2", "opt", "gpt_neox"])
def test_streamed_logits_equal_the_whole_models_in_bfloat16(family: str, tmp_path: Path) -> None:
    folder = save(family, tmp_path / "model", "bfloat16")
    whole = load_model(folder)
    assert whole.dtype == torch.bfloat16
    with StreamedModel.open(folder) as streamed, torch.no_grad():
        assert streamed.dtype == torch.bfloat16
        logits = stream(streamed, windows_of(), rows=3)
        torch.testing.assert_close(logits, whole(input_ids=windows_of()).logits.float(), rtol=0, atol=0)


@pytest.mark.parametrize("family", ["llama", "falcon", "bloom"])
def test_a_single_block_and_a_single_window_stream_as_well(family: str, tmp_path: Path) -> None:
    depth = "n_layer" if family == "bloom" else "num_hidden_layers"
    folder = save(family, tmp_path / "model", **{depth: 1})  # type: ignore[arg-type]
    with StreamedModel.open(folder, torch.float32) as streamed, torch.no_grad():
        expected = load_model(folder, torch.float32)(input_ids=windows_of(1)).logits
        torch.testing.assert_close(stream(streamed, windows_of(1)), expected, rtol=1e-5, atol=1e-5)


def test_the_text_decoder_of_a_multimodal_model_streams(tmp_path: Path) -> None:
    text = {**FAMILIES["gemma3_text"], "model_type": "gemma3_text"}
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 5, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    folder = save("gemma3", tmp_path / "model", text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=319)
    tokens = windows_of() % 300
    with StreamedModel.open(resolve(str(folder)), torch.float32) as streamed, torch.no_grad():
        assert streamed.n_blocks == 3
        expected = load_model(folder, torch.float32)(input_ids=tokens).logits
        torch.testing.assert_close(stream(streamed, tokens), expected, rtol=1e-5, atol=1e-5)
        assert streamed.checkpoint_name("model.language_model.layers.0.mlp.up_proj.weight") in load_file(folder / "model.safetensors")


def test_what_cannot_be_streamed_is_refused(tmp_path: Path) -> None:
    folder = save("gemma3n_text", tmp_path / "model")
    with StreamedModel.open(folder) as streamed, pytest.raises(RequestError, match="several hidden states"):
        streamed.capture(windows_of())


@pytest.mark.parametrize(
    "config",
    [
        {"num_hidden_layers": 90_000},
        {"hidden_size": 2**30},
        {"vocab_size": 2**39},
        {"head_dim": 2**39},
        {"max_position_embeddings": 2**39},
        {"num_attention_heads": 2**39},
    ],
)
def test_a_config_that_the_weights_contradict_is_refused_without_building_it(tiny_llama_dir: Path, tmp_path: Path, config: dict[str, int]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_llama_dir, folder)
    stated = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(stated | config))
    for use in (StreamedModel.open, load_model):
        with pytest.raises(RequestError, match=next(iter(config))):
            use(folder)


@pytest.mark.gpu
@pytest.mark.parametrize("family", ["llama", "gemma2", "opt"])
def test_streaming_through_a_gpu(family: str, tmp_path: Path) -> None:
    folder = save(family, tmp_path / "model")
    with StreamedModel.open(folder, torch.float32, "cuda") as streamed, torch.no_grad():
        logits = stream(streamed, windows_of())
        expected = load_model(folder, torch.float32, "cuda")(input_ids=windows_of().cuda()).logits
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_sharded_weights_stream(tmp_path: Path) -> None:
    folder = save("llama", tmp_path / "model")
    expected = load_model(folder, torch.float32)(input_ids=windows_of()).logits
    load_model(folder).save_pretrained(tmp_path / "sharded", max_shard_size="60kB")
    assert (tmp_path / "sharded" / "model.safetensors.index.json").exists()
    with StreamedModel.open(tmp_path / "sharded", torch.float32) as streamed:
        torch.testing.assert_close(stream(streamed, windows_of()), expected, rtol=1e-5, atol=1e-5)


def test_names_without_the_base_prefix_are_found(tmp_path: Path) -> None:
    """GPT-2's published checkpoint says h.0... where the model says transformer.h.0..."""
    folder = save("gpt2", tmp_path / "model")
    expected = load_model(folder, torch.float32)(input_ids=windows_of()).logits
    weights = load_file(folder / "model.safetensors")
    save_file({name.removeprefix("transformer."): tensor for name, tensor in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    with StreamedModel.open(folder, torch.float32) as streamed:
        torch.testing.assert_close(stream(streamed, windows_of()), expected, rtol=1e-5, atol=1e-5)
        assert streamed.block_prefix(1) == "transformer.h.1."
        assert streamed.checkpoint_name("transformer.h.1.ln_1.weight") == "h.1.ln_1.weight"


def test_only_the_block_at_work_is_in_memory(tiny_llama_dir: Path) -> None:
    with StreamedModel.open(tiny_llama_dir) as streamed:

        def loaded() -> set[str]:
            return {name for name, parameter in streamed.model.named_parameters() if parameter.device.type != "meta"}

        assert loaded() == set()
        streamed.capture(windows_of())
        assert loaded() == set()
        block = streamed.load_block(1)
        assert loaded() == {f"model.layers.1.{name}" for name, _ in block.named_parameters()}
        streamed.release_block(1)
        assert loaded() == set()
        streamed.logits(torch.zeros(1, 4, 64, dtype=torch.bfloat16))
        assert loaded() == {"model.norm.weight", "lm_head.weight"}
        streamed.release_outer()
        assert loaded() == set()


def test_every_tensor_of_the_checkpoint_is_in_one_block_or_outside(tiny_llama_dir: Path) -> None:
    with StreamedModel.open(tiny_llama_dir) as streamed:
        names = [*streamed.non_block_tensors(), *(name for index in range(streamed.n_blocks) for name in streamed.block_tensors(index))]
        assert sorted(names) == sorted(load_file(tiny_llama_dir / "model.safetensors"))
        assert set(streamed.non_block_tensors()) == {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
        for name, tensor in load_file(tiny_llama_dir / "model.safetensors").items():
            assert torch.equal(streamed.read_tensor(name), tensor)
            assert streamed.read_tensor(name).dtype == tensor.dtype


def test_overlay_takes_the_place_of_stored_weights(tiny_llama_dir: Path) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    whole = load_model(tiny_llama_dir, torch.float32)
    changed = torch.randn(whole.get_parameter(name).shape)
    whole.get_parameter(name).copy_(changed)
    with StreamedModel.open(tiny_llama_dir, torch.float32, overlay={name: changed}) as streamed:
        expected = whole(input_ids=windows_of()).logits
        torch.testing.assert_close(stream(streamed, windows_of()), expected, rtol=1e-5, atol=1e-5)


def test_blocks_are_found_in_whole_models_too(tiny_llama_dir: Path) -> None:
    blocks = find_blocks(load_model(tiny_llama_dir))
    assert blocks.path == "model.layers"
    assert list(find_linears(blocks.modules[0])) == [
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ]


def test_weights_that_are_no_linears_are_refused_not_skipped(tmp_path: Path) -> None:
    for family, word in [("gpt2", "Conv1D"), ("mixtral", "experts fused")]:
        with StreamedModel.open(save(family, tmp_path / family)) as streamed, pytest.raises(RequestError, match=word):
            streamed.check_linears()


def broken(source: Path, target: Path, change: dict[str, Tensor | None]) -> Path:
    shutil.copytree(source, target)
    weights = load_file(source / "model.safetensors")
    weights |= {name: tensor for name, tensor in change.items() if tensor is not None}
    for name in [name for name, tensor in change.items() if tensor is None]:
        del weights[name]
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    return target


@pytest.mark.parametrize(("value", "word"), [(float("nan"), "NaN"), (float("inf"), "Inf"), (float("-inf"), "Inf")])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_nan_and_inf_are_refused_with_the_tensors_name(tiny_llama_dir: Path, tmp_path: Path, value: float, word: str, dtype: torch.dtype) -> None:
    name = "model.layers.1.mlp.down_proj.weight"
    tensor = torch.zeros(64, 128, dtype=dtype)
    tensor[63, 127] = value
    folder = broken(tiny_llama_dir, tmp_path / "model", {name: tensor})
    with StreamedModel.open(folder) as streamed:
        streamed.load_block(0)
        with pytest.raises(RequestError, match=rf"{name}.*{word}"):
            streamed.load_block(1)
        with pytest.raises(RequestError, match=rf"{name}.*{word}"):
            streamed.check_weights()
    with pytest.raises(RequestError, match=rf"{name}.*{word}"):
        load_model(folder)


def test_missing_and_misshapen_tensors_are_refused_before_anything_is_read(tiny_llama_dir: Path, tmp_path: Path) -> None:
    name = "model.layers.1.self_attn.q_proj.weight"
    with pytest.raises(RequestError, match=rf"{name}.*missing"):
        StreamedModel.open(broken(tiny_llama_dir, tmp_path / "missing", {name: None}))
    with pytest.raises(RequestError, match=r"lm_head\.weight.*missing"):
        StreamedModel.open(broken(tiny_llama_dir, tmp_path / "headless", {"lm_head.weight": None}))
    with pytest.raises(RequestError, match=rf"{name}.*\[64, 32\].*\[64, 64\]"):
        StreamedModel.open(broken(tiny_llama_dir, tmp_path / "misshapen", {name: torch.zeros(64, 32)}))
    with pytest.raises(RequestError, match=name):
        load_model(tmp_path / "missing")


def test_quantized_checkpoints_are_not_streamed(tiny_llama_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama_dir, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq", "bits": 4}}))
    with pytest.raises(RequestError, match="already quantized"):
        StreamedModel.open(resolve(str(tmp_path / "model")))


def test_code_in_a_model_folder_is_never_run(tiny_llama_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama_dir, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    mapping = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "auto_map": mapping}))
    (tmp_path / "model" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    StreamedModel.open(tmp_path / "model").close()
    load_model(tmp_path / "model")
    load_tokenizer(tmp_path / "model")
    assert not (tmp_path / "ran").exists()


def test_a_file_cut_short_while_in_use_fails_with_a_sentence(tiny_llama_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama_dir, tmp_path / "model")
    with StreamedModel.open(tmp_path / "model") as streamed:
        with (tmp_path / "model" / "model.safetensors").open("r+b") as stream_:
            stream_.truncate(3000)
        with pytest.raises(RunFailed, match="shrank"):
            streamed.load_block(1)


def test_tokenizer_of_a_folder(tiny_llama_dir: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(resolve(str(tiny_llama_dir)))
    assert tokenizer.decode(tokenizer("def f():\n", add_special_tokens=False).input_ids) == "def f():\n"
    with pytest.raises(RequestError, match="tokenizer"):
        load_tokenizer(save("gpt_neox", tmp_path / "no-tokenizer"))


def test_tokens_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    with (
        StreamedModel.open(save("llama", tmp_path / "model"), torch.float32) as model,
        pytest.raises(RequestError, match="outside the model's"),
    ):
        model.capture(torch.tensor([[1, 2, 100_000]]))
