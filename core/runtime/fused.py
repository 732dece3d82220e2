"""The forward pass of Llama-like decoders with as few operations a token as they allow.

One product for query, key and value, one for gate and up, a cache of fixed size that is written in place, no module dispatch.
Equal to transformers' forward to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import RequestError
from core.numerics.packed import PackedLinear, pack, stack
from core.numerics.stored import StoredWeight
from core.numerics.tensor import QuantizedTensor
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Product = Callable[[Tensor], Tensor]
"""Rows [n, in] to [n, out]."""

FUSED_FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
_CHUNK = 512


@dataclass(frozen=True)
class _Layer:
    first_norm: Product
    qkv: tuple[Product, ...]
    query_norm: Product | None
    key_norm: Product | None
    out: Product
    second_norm: Product
    gate_up: tuple[Product, ...]
    activation: Callable[[Tensor], Tensor]
    down: Product


class FusedDecoder:
    """A decoder for one sequence with its cache.

    Args:
        model: a whole Llama-like model, in evaluation mode, on one device. Its projections that are fused afterwards share the fused weight.
        max_tokens: length of the cache: prompt and answer together.
        weights: quantized weights by the name of their linear, used packed in place of the model's own.

    Raises:
        RequestError: a family without a fused path, or more tokens than the model has positions.
    """

    def __init__(self, model: PreTrainedModel, max_tokens: int, weights: Mapping[str, StoredWeight] | None = None) -> None:
        config: Any = model.config
        _check(config, max_tokens)
        body: Any = model.base_model
        self.max_tokens, self.length = max_tokens, 0
        self.device, self.dtype = model.device, model.dtype
        self.kernels: dict[str, str] = {}
        """Name of the kernel of each packed product, by the linears that it serves."""
        self._heads, self._kv_heads = config.num_attention_heads, config.num_key_value_heads
        self._head_dim = getattr(config, "head_dim", None) or config.hidden_size // self._heads
        self._embedding: Tensor = body.embed_tokens.weight
        builder = _Builder(model, weights or {}, self.kernels)
        self._layers = [builder.layer(path, block) for path, block in _blocks_of(model)]
        self._norm = _norm(body.norm)
        self._head = builder.one(_path_of(model, model.get_output_embeddings()))  # type: ignore[no-untyped-call]
        self._cos, self._sin = _rotations(body.rotary_emb, max_tokens, self.dtype, self.device)
        shape = (len(self._layers), 1, self._kv_heads, max_tokens, self._head_dim)
        self._keys = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self._values = torch.zeros_like(self._keys)

    def reset(self) -> None:
        """Forget the sequence; the cache's memory stays."""
        self.length = 0

    @torch.inference_mode()
    def forward(self, tokens: Tensor) -> Tensor:
        """Append tokens, int64 [n], to the sequence; logits [V] for what follows the last of them.

        Raises:
            RequestError: the cache is full.
        """
        if self.length + len(tokens) > self.max_tokens:
            raise RequestError(f"the cache holds {self.max_tokens} tokens and {self.length + len(tokens)} are needed: ask for a longer one")
        hidden = self._embedding[:0]
        for chunk in torch.split(tokens, _CHUNK):
            hidden = self._blocks(self._embedding[chunk])
            self.length += len(chunk)
        return self._head(self._norm(hidden[-1:]))[0]

    def _blocks(self, hidden: Tensor) -> Tensor:
        mask = self._mask(len(hidden))
        for index, layer in enumerate(self._layers):
            hidden = hidden + self._attention(index, layer, layer.first_norm(hidden), mask)
            inner = _joined(layer.gate_up, layer.second_norm(hidden))
            half = inner.shape[1] // 2
            hidden += layer.down(layer.activation(inner[:, :half]).mul_(inner[:, half:]))
        return hidden

    def _attention(self, index: int, layer: _Layer, normed: Tensor, mask: Tensor | None) -> Tensor:
        count, first, last = len(normed), self.length, self.length + len(normed)
        states = _joined(layer.qkv, normed).view(count, -1, self._head_dim)
        split = self._heads + self._kv_heads
        turned = self._rotate(layer, states[:, :split], first, last)
        keys, values = self._keys[index], self._values[index]
        keys[0, :, first:last] = turned[:, self._heads :].transpose(0, 1)
        values[0, :, first:last] = states[:, split:].transpose(0, 1)
        query = turned[:, : self._heads].transpose(0, 1)
        mixed = self._attend(query, keys[0, :, :last], values[0, :, :last], mask)
        return layer.out(mixed)

    def _rotate(self, layer: _Layer, states: Tensor, first: int, last: int) -> Tensor:
        """Rotary positions of queries and keys together: [n, heads + kv heads, head dim]."""
        if layer.query_norm is not None and layer.key_norm is not None:
            states = torch.cat((layer.query_norm(states[:, : self._heads]), layer.key_norm(states[:, self._heads :])), dim=1)
        swapped = states.roll(self._head_dim // 2, dims=2)
        return (states * self._cos[first:last]).add_(swapped.mul_(self._sin[first:last]))

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Query [heads, n, d], keys and values [kv heads, t, d] to [n, heads * d]."""
        count = query.shape[1]
        grouped = self._heads != self._kv_heads
        mixed = functional.scaled_dot_product_attention(query[None], keys[None], values[None], attn_mask=mask, enable_gqa=grouped)
        return mixed[0].transpose(0, 1).reshape(count, -1)

    def _mask(self, count: int) -> Tensor | None:
        """What each of the new tokens may look at; None when that is everything."""
        if count == 1:
            return None
        known = self.length + count
        return torch.ones(count, known, dtype=torch.bool, device=self.device).tril(known - count)


class _Builder:
    """Makes products out of a model's linears."""

    def __init__(self, model: nn.Module, weights: Mapping[str, StoredWeight], kernels: dict[str, str]) -> None:
        self._model, self._weights, self._kernels = model, weights, kernels

    def layer(self, path: str, block: Any) -> _Layer:
        attention, mlp = block.self_attn, block.mlp
        return _Layer(
            first_norm=_norm(block.input_layernorm),
            qkv=self.joined([f"{path}.self_attn.{name}_proj" for name in ("q", "k", "v")]),
            query_norm=_norm(attention.q_norm) if hasattr(attention, "q_norm") else None,
            key_norm=_norm(attention.k_norm) if hasattr(attention, "k_norm") else None,
            out=self.one(f"{path}.self_attn.o_proj"),
            second_norm=_norm(block.post_attention_layernorm),
            gate_up=self.joined([f"{path}.mlp.{name}_proj" for name in ("gate", "up")]),
            activation=mlp.act_fn,
            down=self.one(f"{path}.mlp.down_proj"),
        )

    def one(self, name: str) -> Product:
        """A product of one linear."""
        linear, weight = self._linear(name), self._weights.get(name)
        if isinstance(linear, PackedLinear):
            return linear
        if weight is None:
            return partial(functional.linear, weight=linear.weight.detach(), bias=_detached(linear.bias))
        packed = pack(weight, linear.weight.device, linear.weight.dtype, linear.bias)
        self._kernels[name] = packed.kernel
        return packed

    def joined(self, names: Sequence[str]) -> tuple[Product, ...]:
        """One product for linears that read the same input; one each where their grids do not go together."""
        linears, weights = [self._linear(name) for name in names], [self._weights.get(name) for name in names]
        if any(isinstance(linear, PackedLinear) for linear in linears):
            return tuple(self.one(name) for name in names)
        biases = [linear.bias for linear in linears]
        bias = None if any(bias is None for bias in biases) else torch.cat(biases).detach()
        if not any(weights) and (bias is not None or not any(bias is not None for bias in biases)):
            return (partial(functional.linear, weight=_fuse(linears), bias=bias),)
        integers = [weight for weight in weights if isinstance(weight, QuantizedTensor)]
        together = stack(integers) if len(integers) == len(names) else None
        if together is None:
            return tuple(self.one(name) for name in names)
        packed = pack(together, linears[0].weight.device, linears[0].weight.dtype, bias)
        self._kernels[" ".join(names)] = packed.kernel
        return (packed,)

    def _linear(self, name: str) -> Any:
        return self._model.get_submodule(name)


def _fuse(linears: Sequence[nn.Linear]) -> Tensor:
    """Weights under each other; the linears then look into the result, so that nothing is held twice."""
    fused = torch.cat([linear.weight.detach() for linear in linears])
    for linear, part in zip(linears, torch.split(fused, [linear.out_features for linear in linears]), strict=True):
        linear.weight.data = part
    return fused


def _joined(products: Sequence[Product], rows: Tensor) -> Tensor:
    return products[0](rows) if len(products) == 1 else torch.cat([product(rows) for product in products], dim=1)


def _norm(module: Any) -> Product:
    return partial(functional.rms_norm, normalized_shape=tuple(module.weight.shape), weight=module.weight.detach(), eps=module.variance_epsilon)


def _detached(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach()


@torch.no_grad()
def _rotations(rotary: nn.Module, length: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [length, 1, head dim]; the sine of the first half negative, as the halves are swapped and not negated."""
    positions = torch.arange(length, device=device)[None]
    cos, sin = rotary(torch.empty(0, dtype=dtype, device=device), positions)
    half = sin.shape[-1] // 2
    signed = torch.cat((-sin[0, :, :half], sin[0, :, half:]), dim=1)
    return cos[0].unsqueeze(1), signed.unsqueeze(1)


def _blocks_of(model: Any) -> list[tuple[str, nn.Module]]:
    prefix = _path_of(model, model.base_model)
    return [(f"{prefix}.layers.{index}", block) for index, block in enumerate(model.base_model.layers)]


def _path_of(model: nn.Module, wanted: nn.Module | None) -> str:
    paths: dict[int, str] = {id(module): path for path, module in model.named_modules()}
    return paths[id(wanted)]


def _check(config: Any, max_tokens: int) -> None:
    family = clean(str(config.model_type), limit=40)
    if family not in FUSED_FAMILIES:
        raise RequestError(f"{family} has no fused decode path: use transformers' generate, or a model of {', '.join(FUSED_FAMILIES)}")
    if (config.rope_parameters or {}).get("rope_type") in ("dynamic", "longrope"):
        raise RequestError(f"the rotary positions of this {family} change with the length of the text, which the fused path cannot do")
    window = getattr(config, "sliding_window", None)
    if window and max_tokens > window and any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ("sliding",)):
        raise RequestError(f"{max_tokens} tokens do not fit the sliding window of {window}, which the fused path cannot move: ask for fewer")
    if max_tokens > config.max_position_embeddings:
        raise RequestError(f"{max_tokens} tokens are more than the model's context of {config.max_position_embeddings}: ask for fewer")
