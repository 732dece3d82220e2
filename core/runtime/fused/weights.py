"""The weights of a Llama-like model as the fused path uses them: one product for query, key and value, one for gate and up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.numerics.packed.linears import PackedLinear, pack, stack
from core.numerics.stored import StoredWeight
from core.numerics.tensor import QuantizedTensor
from core.runtime.fused.families import family_of
from core.runtime.fused.products import FloatProduct, JoinedProduct, Norm, PackedProduct, Product, uses_onednn
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BLOCKED_BYTES = 1 << 30
"""Of plain weights that may be held a second time in oneDNN's layout."""

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"silu": functional.silu}


@dataclass(frozen=True)
class Shape:
    """Widths that all blocks share."""

    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    inner: int
    vocabulary: int


@dataclass(frozen=True)
class Block:
    """One decoder block."""

    before_attention: Norm | None
    qkv: Product
    head_norm: Norm | None
    """Of queries and keys together: weights [heads + kv heads, head dim]."""
    wide_norms: tuple[Norm, Norm] | None
    """Of all queries, and of all keys, across their heads."""
    rope: str | None
    """Which of the model's rotations; None for none."""
    window: int | None
    scaling: float
    softcap: float | None
    out: Product
    after_attention: Norm | None
    before_mlp: Norm | None
    gate_up: Product
    activation: Callable[[Tensor], Tensor]
    down: Product
    after_mlp: Norm | None
    residual_scale: float
    """What attention and MLP add is multiplied by it."""


@dataclass(frozen=True)
class FusedWeights:
    """All that a forward reads; decoders share it."""

    shape: Shape
    embedding: Tensor
    embedding_scale: float
    blocks: tuple[Block, ...]
    norm: Norm
    head: Product
    logits_divisor: float
    logits_cap: float | None
    rotary: nn.Module
    config: Any
    kernels: dict[str, str]
    """Name of the kernel of each packed product, by the linears that it serves."""

    @classmethod
    def of(cls, model: PreTrainedModel, weights: Mapping[str, StoredWeight]) -> FusedWeights:
        """Fuse a model's weights; its own projections look into the result from then on.

        Args:
            model: a whole Llama-like model, in evaluation mode, on one device.
            weights: quantized weights by the name of their linear, used packed in place of the model's own.

        Raises:
            RequestError: a family without a fused path.
        """
        config: Any = model.config
        family_of(config)
        body: Any = model.base_model
        builder = _Builder(model, weights)
        blocks = tuple(builder.block(index, path, block) for index, (path, block) in enumerate(_blocks_of(model)))
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(
            shape=Shape(
                heads=config.num_attention_heads,
                kv_heads=config.num_key_value_heads,
                head_dim=head_dim,
                hidden=config.hidden_size,
                inner=config.intermediate_size,
                vocabulary=config.vocab_size,
            ),
            embedding=body.embed_tokens.weight.detach(),
            embedding_scale=_embedding_scale(body),
            blocks=blocks,
            norm=builder.norm(body.norm),
            head=builder.one(_path_of(model, model.get_output_embeddings())),  # type: ignore[no-untyped-call]
            logits_divisor=getattr(config, "logits_scaling", 1.0),
            logits_cap=getattr(config, "final_logit_softcapping", None),
            rotary=body.rotary_emb,
            config=config,
            kernels=builder.kernels,
        )

    @torch.no_grad()
    def rotations(self, length: int, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
        """Cosines and sines [length, 2, rotated width] of each rotation; sines of the first half negative, as halves are swapped and not negated."""
        positions = torch.arange(length, device=device)[None]
        empty = torch.empty(0, dtype=dtype, device=device)
        tables = {}
        for name in {block.rope for block in self.blocks if block.rope is not None}:
            cos, sin = self.rotary(empty, positions, name) if name else self.rotary(empty, positions)
            half = sin.shape[-1] // 2
            tables[name] = torch.stack((cos[0], torch.cat((-sin[0, :, :half], sin[0, :, half:]), dim=1)), dim=1)
        return tables


class _Builder:
    """Makes products out of a model's linears."""

    def __init__(self, model: PreTrainedModel, weights: Mapping[str, StoredWeight]) -> None:
        self._model, self._weights = model, weights
        self._config: Any = model.config
        self._family = family_of(self._config)
        self.kernels: dict[str, str] = {}
        plain = sum(weight.nbytes for weight in model.parameters() if weight.dim() == 2)
        self._blocked = plain <= BLOCKED_BYTES and uses_onednn(model.device, model.dtype)

    def block(self, index: int, path: str, block: Any) -> Block:
        family, attention, mlp = self._family, block.self_attn, block.mlp
        head_norm, wide_norms = self._head_norms(attention)
        activation = str(getattr(self._config, "hidden_activation", None) or getattr(self._config, "hidden_act", ""))
        return Block(
            before_attention=self._named(block, family.before_attention),
            qkv=self.joined([f"{path}.self_attn.{name}" for name in family.qkv]),
            head_norm=head_norm,
            wide_norms=wide_norms,
            rope=_rope_of(self._config, index, attention),
            window=_window_of(self._config, index),
            scaling=float(attention.scaling),
            softcap=getattr(self._config, "attn_logit_softcapping", None),
            out=self.one(f"{path}.self_attn.o_proj"),
            after_attention=self._named(block, family.after_attention),
            before_mlp=self._named(block, family.before_mlp),
            gate_up=self.joined([f"{path}.mlp.{name}" for name in family.gate_up]),
            activation=_ACTIVATIONS.get(activation) or (mlp.activation_fn if hasattr(mlp, "activation_fn") else mlp.act_fn),
            down=self.one(f"{path}.mlp.down_proj"),
            after_mlp=self._named(block, family.after_mlp),
            residual_scale=float(getattr(block, "residual_multiplier", 1.0)),
        )

    def norm(self, module: Any) -> Norm:
        """Of a model's norm; weights with an offset are kept in float32, as the family computes with them."""
        weight: Tensor = module.weight.detach()
        if self._family.norm_offset:
            weight = weight.float() + self._family.norm_offset
        return Norm(weight, module.variance_epsilon if hasattr(module, "variance_epsilon") else module.eps)

    def one(self, name: str) -> Product:
        """A product of one linear."""
        linear, weight = self._linear(name), self._weights.get(name)
        if isinstance(linear, PackedLinear):
            return PackedProduct(linear)
        if weight is None:
            return FloatProduct(linear.weight.detach(), _detached(linear.bias), blocked=self._blocked)
        packed = pack(weight, linear.weight.device, linear.weight.dtype, linear.bias)
        self.kernels[name] = packed.kernel
        return PackedProduct(packed)

    def joined(self, names: Sequence[str]) -> Product:
        """One product for linears that read the same input; one each where their grids do not go together."""
        if len(names) == 1:
            return self.one(names[0])
        linears, weights = [self._linear(name) for name in names], [self._weights.get(name) for name in names]
        apart = any(isinstance(linear, PackedLinear) for linear in linears)
        biases = [] if apart else [linear.bias for linear in linears if linear.bias is not None]
        if not apart and not any(weights) and len(biases) in (0, len(names)):
            return FloatProduct(_fuse(linears), torch.cat(biases).detach() if biases else None, blocked=self._blocked)
        integers = [weight for weight in weights if isinstance(weight, QuantizedTensor)]
        together = stack(integers) if not apart and len(integers) == len(names) else None
        if together is None:
            return JoinedProduct([self.one(name) for name in names])
        bias = torch.cat(biases).detach() if len(biases) == len(names) else None
        packed = pack(together, linears[0].weight.device, linears[0].weight.dtype, bias)
        self.kernels[" ".join(names)] = packed.kernel
        return PackedProduct(packed)

    def _head_norms(self, attention: Any) -> tuple[Norm | None, tuple[Norm, Norm] | None]:
        if not hasattr(attention, "q_norm"):
            return None, None
        query, key = self.norm(attention.q_norm), self.norm(attention.k_norm)
        if query.weight.numel() != attention.head_dim:
            return None, (query, key)
        heads = (query.weight.expand(self._config.num_attention_heads, -1), key.weight.expand(self._config.num_key_value_heads, -1))
        return Norm(torch.cat(heads), query.eps), None

    def _named(self, block: Any, name: str | None) -> Norm | None:
        return None if name is None else self.norm(getattr(block, name))

    def _linear(self, name: str) -> Any:
        return self._model.get_submodule(name)


def odd_module(model: PreTrainedModel) -> str | None:
    """Why the fused path cannot read this model's linears; None when it can."""
    embedding: Tensor = model.get_input_embeddings().weight  # type: ignore[assignment]
    if any(weight.device != embedding.device for weight in model.parameters()):
        return "the model is on several devices, and the fused path needs one"
    for name, linear in model.named_modules():
        if isinstance(linear, nn.Linear) and linear.weight.dtype != embedding.dtype:
            return f"the linear {clean(name, limit=120)} is in {str(linear.weight.dtype)[6:]} and the embedding in {str(embedding.dtype)[6:]}"
        if isinstance(linear, nn.Linear) and (type(linear) is not nn.Linear or not linear.weight.is_floating_point() or linear.weight.is_meta):
            return f"the linear {clean(name, limit=120)} is a {clean(type(linear).__name__, limit=40)}, which the fused path cannot read"
    return None


def _fuse(linears: Sequence[nn.Linear]) -> Tensor:
    """Weights under each other; the linears then look into the result, so that nothing is held twice, also by a second decoder."""
    weights = [linear.weight.detach() for linear in linears]
    together = _lies_together(weights)
    if together is not None:
        return together
    fused = torch.cat(weights)
    for linear, part in zip(linears, torch.split(fused, [linear.out_features for linear in linears]), strict=True):
        linear.weight.data = part
    return fused


def _lies_together(weights: Sequence[Tensor]) -> Tensor | None:
    """The weights as one tensor where they already lie behind each other in memory."""
    first = weights[0]
    rows, at = sum(len(weight) for weight in weights), first.storage_offset()
    for weight in weights:
        same = weight.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not same or weight.storage_offset() != at or not weight.is_contiguous():
            return None
        at += weight.numel()
    return first.as_strided((rows, first.shape[1]), (first.shape[1], 1))


def _rope_of(config: Any, index: int, attention: Any) -> str | None:
    """Name of a block's rotation: "" where the model has one, its kind of attention where each kind has its own, None for none."""
    if not getattr(attention, "use_rope", True):
        return None
    rope = getattr(config, "rope_parameters", None) or {}
    return str(config.layer_types[index]) if any(isinstance(part, dict) for part in rope.values()) else ""


def _window_of(config: Any, index: int) -> int | None:
    """Tokens that a block looks back, itself counted."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if not window or (kinds and kinds[index] != "sliding_attention") or getattr(config, "use_sliding_window", True) is False:
        return None
    return int(window) if kinds or config.model_type in ("mistral", "phi3") else None


def _embedding_scale(body: Any) -> float:
    """What the embedding is multiplied by, rounded as the model rounds it."""
    stated = getattr(body, "embedding_multiplier", None)
    scale = getattr(body.embed_tokens, "embed_scale", None) if stated is None else stated
    if scale is None:
        return 1.0
    return float(scale.to(body.embed_tokens.weight.dtype)) if isinstance(scale, Tensor) else float(scale)


def _detached(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach()


def _blocks_of(model: Any) -> list[tuple[str, nn.Module]]:
    prefix = _path_of(model, model.base_model)
    return [(f"{prefix}.layers.{index}", block) for index, block in enumerate(model.base_model.layers)]


def _path_of(model: nn.Module, wanted: nn.Module | None) -> str:
    paths: dict[int, str] = {id(module): path for path, module in model.named_modules()}
    return paths[id(wanted)]
