"""A model whose heads were cut is the masked model, in every family; what transformers would refuse is refused before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.errors import Cancelled, RequestError
from core.models.card import ModelCard
from core.prune.methods import METHODS
from core.prune.pipeline.writer import Written
from core.prune.plan.surgery import SURGERY
from core.runs.resume_store import ResumeStore
from core.spec import Spec
from tests.core.conftest import RecordingContext
from tests.core.prune.structure.models import FAMILIES, SMALL, distance, load, logits, make, prune, spec_for, windows_of


class _NormOfKept(nn.Module):
    """An RMSNorm that looks only at some of its features."""

    def __init__(self, norm: Any, kept: Tensor) -> None:
        super().__init__()
        self.norm, self.kept = norm, kept

    def forward(self, hidden: Tensor) -> Tensor:
        squares = hidden[..., self.kept].square().mean(-1, keepdim=True)
        return self.norm.weight * hidden * (squares + self.norm.variance_epsilon).rsqrt()


def mask_heads(model: Any, written: Written) -> None:
    """Zero, in the original, what reads the heads that were removed; norms over all heads leave them out."""
    config = model.config
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    for figures in written.importance:
        attention = model.model.layers[figures.block].self_attn
        width, each = attention.head_dim, heads // groups
        whole = figures.axis == "KV groups"
        queries = [group * each + at for group in figures.removed for at in range(each)] if whole else list(figures.removed)
        gone = [head * width + at for head in queries for at in range(width)]
        attention.o_proj.weight.data[:, gone] = 0
        if hasattr(attention, "q_norm") and attention.q_norm.weight.numel() == heads * width:
            kept = [column for column in range(heads * width) if column not in gone]
            keys = [column for column in range(groups * width) if not whole or column // width not in figures.removed]
            attention.q_norm = _NormOfKept(attention.q_norm, torch.tensor(kept))
            attention.k_norm = _NormOfKept(attention.k_norm, torch.tensor(keys))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("axis", "remove"), [("groups", 2), ("queries", 1)])
@pytest.mark.parametrize("criterion", ["energy", "obs"])
def test_the_cut_model_is_the_masked_model(axis: str, remove: int, criterion: str, family: str, tmp_path: Path, context: RecordingContext) -> None:
    folder = make(family, tmp_path)
    spec = spec_for(folder, "heads", criterion=criterion, compensation="none", heads=axis, remove=remove)
    written = prune(spec, tmp_path / "out", context)
    masked, result = load(folder), load(tmp_path / "out")
    mask_heads(masked, written)
    assert distance(logits(result), logits(masked)) < 1e-5
    assert result.config.num_attention_heads == 4
    assert result.config.num_key_value_heads == (2 if axis == "groups" else 4)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["head_dim"] == (8 if family == "llama" else 16)
    card = ModelCard.from_folder(folder)
    assert METHODS["heads"].parameters_after(spec.request, card) == ModelCard.from_folder(tmp_path / "out").parameters == written.parameters


@pytest.mark.parametrize("axis", ["groups", "queries"])
@pytest.mark.parametrize("criterion", ["energy", "obs", "minitron"])
def test_least_squares_lowers_the_error_of_every_criterion(criterion: str, axis: str, tmp_path: Path, context: RecordingContext) -> None:
    folder = make("qwen3", tmp_path)
    written = prune(spec_for(folder, "heads", criterion=criterion, heads=axis, remove=1), tmp_path / "out", context)
    assert all(figures.error < figures.error_before for figures in written.linears if figures.error_before is not None)
    assert all(figures.sparsity == (0.25 if axis == "groups" else 0.5) for figures in written.linears)
    if axis == "queries":
        assert all([index // 2 for index in figures.removed] == [0, 1, 2, 3] for figures in written.importance)
    assert torch.isfinite(logits(load(tmp_path / "out"))).all()


@pytest.mark.parametrize("family", ["llama", "llama-biases", "qwen3", "gemma2", "granite", "smollm3", "starcoder2", "cohere2", "olmo2"])
def test_a_bias_makes_up_for_the_mean(family: str, tmp_path: Path, context: RecordingContext) -> None:
    folder = make(family, tmp_path)
    spec = spec_for(folder, "heads", compensation="bias", remove=2)
    written = prune(spec, tmp_path / "out", context)
    assert all(figures.error < figures.error_before for figures in written.linears if figures.error_before is not None)
    result, masked = load(tmp_path / "out"), load(folder)
    mask_heads(masked, written)
    for ours, theirs in zip(result.model.layers, masked.model.layers, strict=True):
        assert bool(ours.self_attn.o_proj.bias.any())
        theirs.self_attn.o_proj.bias = nn.Parameter(ours.self_attn.o_proj.bias.detach().clone())
    assert distance(logits(result), logits(masked)) < 1e-5
    assert METHODS["heads"].parameters_after(spec.request, ModelCard.from_folder(folder)) == written.parameters


def test_energy_is_that_of_the_outputs_of_a_group_alone(tmp_path: Path, context: RecordingContext) -> None:
    folder = make("mistral", tmp_path, num_hidden_layers=1)
    written = prune(spec_for(folder, "heads", remove=1), tmp_path / "out", context)
    model = load(folder)
    seen: list[Tensor] = []
    attention = model.model.layers[0].self_attn
    attention.o_proj.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    logits(model, windows_of())
    for group, score in enumerate(written.importance[0].scores):
        columns = slice(group * 32, group * 32 + 32)
        outputs = seen[0][..., columns] @ attention.o_proj.weight[:, columns].t()
        assert score == pytest.approx(2 * float(outputs.detach().square().sum(-1).mean()), rel=1e-4)
    assert written.importance[0].removed == (min(range(4), key=lambda group: written.importance[0].scores[group]),)


def test_minitrons_size_is_the_norm_of_a_heads_output(tmp_path: Path, context: RecordingContext) -> None:
    folder = make("llama", tmp_path, num_hidden_layers=1)
    written = prune(spec_for(folder, "heads", remove=1, heads="queries", criterion="minitron"), tmp_path / "out", context)
    model = load(folder)
    seen: list[Tensor] = []
    model.model.layers[0].self_attn.o_proj.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    logits(model, windows_of())
    expected = seen[0].unflatten(-1, (8, 8)).norm(dim=-1).mean(dim=1).norm(dim=0)
    assert torch.allclose(torch.tensor(written.importance[0].scores), expected, rtol=1e-4)


def test_a_stopped_cut_is_resumed_byte_for_byte(tmp_path: Path, context: RecordingContext) -> None:
    folder = make("olmo2", tmp_path)
    spec = spec_for(folder, "heads", remove=1)
    whole = prune(spec, tmp_path / "whole", context)
    context.metrics.clear()
    context.cancel_when = lambda context: sum(name == "linear_error" for name, *_ in context.metrics) > 1
    with pytest.raises(Cancelled):
        prune(spec, tmp_path / "resumed", context, store=ResumeStore(tmp_path / "kept"))
    context.cancel_when = lambda _context: False
    assert prune(spec, tmp_path / "resumed", context, store=ResumeStore(tmp_path / "kept")) == whole
    assert (tmp_path / "resumed" / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model_type", SURGERY)
def test_the_table_says_what_transformers_refuses(model_type: str) -> None:
    from transformers import AutoConfig

    def accepted(hidden: int, heads: int) -> bool:
        try:
            AutoConfig.for_model(model_type, **(SMALL | {"hidden_size": hidden, "num_attention_heads": heads, "num_key_value_heads": heads}))
        except Exception:
            return False
        return True

    assert accepted(64, 4)
    assert accepted(64, 3) == (not SURGERY[model_type].divides)


@pytest.mark.parametrize(
    ("family", "settings", "options", "sentence"),
    [
        ("llama", {}, {"remove": 1}, r"64 is not a multiple of its 6 query heads: set remove to 2 or 3, which leaves 4 or 2 query heads"),
        ("gemma2", {"hidden_size": 80}, {"remove": 1}, r"6 query heads: set remove to 2 or 3, which leaves 4 or 2"),
        ("llama", {}, {"remove": 4}, "4 KV groups and none would be left"),
        ("llama", {}, {"remove": 2, "heads": "queries"}, "2 query heads per group and none would be left"),
        ("llama", {"num_key_value_heads": 8}, {"remove": 1, "heads": "queries"}, "one of its query heads per group.*set heads to groups"),
        ("llama", {"num_key_value_heads": 1}, {"remove": 1}, "one of its KV groups.*set heads to queries"),
        ("llama", {}, {"sparsity": 0.1}, "less than one"),
        ("qwen2", {}, {"remove": 1, "compensation": "bias"}, "no place for a bias in self_attn.o_proj"),
    ],
)
def test_what_cannot_be_cut_is_refused_on_the_card(
    family: str, settings: dict[str, Any], options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    folder = make(family, tmp_path, **settings)
    spec: Spec = spec_for(folder, "heads", **options)
    with pytest.raises(RequestError, match=sentence):
        METHODS["heads"].require(spec.request, ModelCard.from_folder(folder))  # type: ignore[attr-defined]


def test_families_that_do_not_divide_may_keep_any_number_of_groups(tmp_path: Path, context: RecordingContext) -> None:
    folder = make("mistral", tmp_path)
    prune(spec_for(folder, "heads", remove=1), tmp_path / "out", context)
    assert load(tmp_path / "out").config.num_attention_heads == 6
