"""What is particular to the fused decode path: packed weights, shared weights, its own memory, what it refuses."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.errors import RequestError
from core.numerics.grid import Grid
from core.numerics.packed.linears import use_packed
from core.quantize.linear.rtn import quantize
from core.runtime.cache import KvCache
from core.runtime.caches.dynamic import DynamicKvLayer
from core.runtime.fused import products as fused_products
from core.runtime.fused import weights as fused_weights
from core.runtime.fused.decoder import FusedDecoder
from core.runtime.fused.families import FAMILIES
from core.runtime.fused.products import FloatProduct
from core.runtime.generate import generate
from core.runtime.module import ModuleDecoder
from core.runtime.opening import open_decoder
from tests.core.runtime.tiny import FUSED, by_transformers, config_of, model_of, prompts

PROMPT = prompts(19)


def text(decoder: FusedDecoder, tokens: int) -> list[list[int]]:
    return generate(decoder, PROMPT, max_new_tokens=tokens).tokens


def linears_of(model: PreTrainedModel) -> dict[str, nn.Linear]:
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}


def test_every_family_is_tested() -> None:
    assert {config_of(name).model_type for name in FUSED} == set(FAMILIES)


@pytest.mark.parametrize("bits", [4, 8])
def test_packed_weights_decode_like_dequantized_ones(bits: int) -> None:
    model = model_of(config_of("llama, biases, scaled positions"))
    grid = Grid(4, False, "group", 32) if bits == 4 else Grid(8, True, "channel")
    linears = linears_of(model)
    weights = {name: quantize(linear.weight.detach(), None, grid) for name, linear in linears.items()}
    decoder = FusedDecoder(model, 60, weights)
    assert set(decoder.kernels.values()) == {f"int{bits} (torch, CPU)"}
    assert len(decoder.kernels) == 3 * 4 + 1
    for name, linear in linears.items():
        linear.weight.data.copy_(weights[name].dequantize())
    assert text(decoder, 40) == by_transformers(model, PROMPT, 40)


def test_a_model_with_packed_linears_is_taken_as_it_is() -> None:
    model = model_of(config_of("llama"))
    use_packed(model, {name: quantize(linear.weight.detach(), None, Grid(4, True, "group", 32)) for name, linear in linears_of(model).items()})
    assert text(FusedDecoder(model, 60), 20) == by_transformers(model, PROMPT, 20)


def test_mixed_widths_are_multiplied_apart() -> None:
    model = model_of(config_of("llama"))
    linears = {name: linear for name, linear in linears_of(model).items() if name.endswith(("q_proj", "v_proj"))}
    weights = {name: quantize(linear.weight.detach(), None, Grid(4, "q_" in name, "group", 32)) for name, linear in linears.items()}
    decoder = FusedDecoder(model, 60, weights)
    for name, linear in linears.items():
        linear.weight.data.copy_(weights[name].dequantize())
    assert text(decoder, 20) == by_transformers(model, PROMPT, 20)


def test_a_second_decoder_holds_the_fused_weights_no_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_weights, "BLOCKED_BYTES", 0)
    model = model_of(config_of("llama"))
    first, second = FusedDecoder(model, 32), FusedDecoder(model, 32)
    for block, other in zip(first._weights.blocks, second._weights.blocks, strict=True):
        assert block.qkv.weight.data_ptr() == other.qkv.weight.data_ptr()  # type: ignore[attr-defined]
        assert block.gate_up.weight.data_ptr() == other.gate_up.weight.data_ptr()  # type: ignore[attr-defined]
    owned = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in model.parameters()}
    assert sum(owned.values()) == sum(tensor.nbytes for tensor in model.parameters())
    assert text(second, 12) == by_transformers(model, PROMPT, 12)


def test_skipped_blocks_are_those_of_a_shorter_model() -> None:
    model: Any = model_of(config_of("llama"))
    whole = FusedDecoder(model, 40)
    found, before = text(whole.skipping([1]), 12), text(whole, 12)
    model.model.layers = nn.ModuleList([model.model.layers[0], model.model.layers[2]])
    model.model.layers[1].self_attn.layer_idx = 1
    model.config.num_hidden_layers = 2
    assert found == by_transformers(model, PROMPT, 12)
    assert text(whole, 12) == before != found
    with pytest.raises(RequestError, match="3 is not one of them"):
        whole.skipping([3])
    with pytest.raises(RequestError, match="at least one"):
        whole.skipping([0, 1, 2])


def test_a_dynamic_cache_changes_nothing() -> None:
    model = model_of(config_of("gemma3"))
    cache = KvCache([DynamicKvLayer() for _ in range(3)])
    assert text(FusedDecoder(model, 60, cache=cache), 30) == by_transformers(model, PROMPT, 30)
    assert cache.seen == 19 + 29


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_products_are_those_of_float64(dtype: torch.dtype, bias: bool, blocked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_products, "_PART", 64)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(48, 32, generator=generator).to(dtype)
    offset = torch.randn(48, generator=generator).to(dtype) if bias else None
    product = FloatProduct(weight, offset, blocked=blocked)
    for count in (1, 2, 7, 40):
        rows = torch.randn(count, 32, generator=generator).to(dtype)
        expected = rows.double() @ weight.double().t() + (0 if offset is None else offset.double())
        within = {"rtol": 0.0, "atol": 40 * torch.finfo(dtype).eps}
        torch.testing.assert_close(product(rows).double(), expected, **within)  # type: ignore[arg-type]
        out = torch.full((count, 48), 3.0, dtype=dtype)
        product.bind(rows, out)()
        torch.testing.assert_close(out.double(), expected, **within)  # type: ignore[arg-type]
        product.bind(rows, out, add=True)()
        torch.testing.assert_close(out.double(), 2 * expected, rtol=0, atol=3 * within["atol"])


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_bfloat16_is_as_near_to_float32_as_the_modules_are(name: str) -> None:
    exact = model_of(config_of(name))
    with torch.no_grad():
        expected = exact(PROMPT).logits
    model = model_of(config_of(name)).bfloat16()
    errors = []
    for decoder in (FusedDecoder(model, 32), ModuleDecoder(model, 32)):
        logits = [decoder.forward(PROMPT[:, :12]), *(decoder.forward(PROMPT[:, at : at + 1]) for at in range(12, 19))]
        errors.append(float((torch.cat(logits, dim=1).float() - expected).square().mean().sqrt()))
    assert errors[0] < 1.3 * errors[1]


def live_bytes() -> int:
    gc.collect()
    return sum(thing.nbytes for thing in gc.get_objects() if issubclass(type(thing), Tensor) and not thing.is_meta)


def test_memory_does_not_grow_with_the_steps() -> None:
    decoder = FusedDecoder(model_of(config_of("llama")), 200)
    token, sizes = prompts(1), []
    decoder.forward(PROMPT)
    decoder.forward(token)
    held = decoder.cache.nbytes
    for _ in range(3):
        for _ in range(35):
            decoder.forward(token)
        sizes.append(live_bytes())
    assert len(set(sizes)) == 1
    assert decoder.cache.nbytes == held


def test_a_batch_of_another_size_gets_buffers_of_its_own() -> None:
    model = model_of(config_of("llama"))
    decoder = FusedDecoder(model, 40)
    for batch in (1, 3, 2, 1):
        prompt = prompts(7, batch)
        assert generate(decoder, prompt, max_new_tokens=6).tokens == by_transformers(model, prompt, 6)


def test_what_does_not_fit_is_refused() -> None:
    model = model_of(config_of("llama"))
    decoder = FusedDecoder(model, 24)
    with pytest.raises(RequestError, match="do not fit the cache of 24"):
        text(decoder, 7)
    assert len(text(decoder, 6)[0]) == 6
    with pytest.raises(RequestError, match="the cache holds 24 tokens and 25 are needed"):
        decoder.forward(PROMPT[:, :1])
    with pytest.raises(RequestError, match="holds 1 sequences but got tokens of 2"):
        decoder.forward(prompts(1, 2))
    with pytest.raises(RequestError, match="context of 256"):
        FusedDecoder(model, 257)


def test_models_without_a_fused_path_take_their_own_modules() -> None:
    model = model_of(config_of("gpt2"))
    with pytest.raises(RequestError, match="gpt2 has no fused decode path"):
        open_decoder(model, 24, fused=True)
    assert isinstance(open_decoder(model, 24), ModuleDecoder)
    llama = model_of(config_of("llama"))
    assert isinstance(open_decoder(llama, 24), FusedDecoder)
    assert isinstance(open_decoder(llama, 24, fused=False), ModuleDecoder)

    class Odd(nn.Linear):
        pass

    llama.lm_head.half()
    with pytest.raises(RequestError, match="lm_head is in float16 and the embedding in float32"):
        open_decoder(llama, 24, fused=True)
    llama.lm_head = Odd(64, 320, bias=False)
    with pytest.raises(RequestError, match="lm_head is a Odd"):
        open_decoder(llama, 24, fused=True)
    llama.config.rope_parameters = {"rope_type": "dynamic"}
    with pytest.raises(RequestError, match="rotary positions"):
        open_decoder(llama, 24, fused=True)


@pytest.mark.gpu
@pytest.mark.parametrize("name", FUSED)
def test_on_a_gpu_the_text_is_that_of_transformers(name: str) -> None:
    model, prompt = model_of(config_of(name)).cuda(), PROMPT.cuda()  # type: ignore[call-arg]
    decoder = FusedDecoder(model, 60)
    assert generate(decoder, prompt, max_new_tokens=30).tokens == by_transformers(model, prompt, 30)
    assert generate(decoder, prompt.expand(3, -1), max_new_tokens=8).tokens == by_transformers(model, prompt.expand(3, -1), 8)
