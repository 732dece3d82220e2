"""A model of fewer hidden columns is the one whose other columns are zero, in every family with RMSNorm."""

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
from core.prune.plan.surgery import SURGERY
from core.runs.resume_store import ResumeStore
from tests.core.conftest import RecordingContext
from tests.core.prune.structure.models import FAMILIES, distance, load, logits, make, prune, spec_for, windows_of

NORMED = [name for name, (model_type, _) in FAMILIES.items() if SURGERY[model_type].norm != "layer"]


def mask_width(model: Any, removed: list[int]) -> None:
    """Let nothing ever write these columns of the hidden state."""
    if model.lm_head.weight is model.model.embed_tokens.weight:
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    model.model.embed_tokens.weight.data[:, removed] = 0
    for layer in model.model.layers:
        for linear in (layer.self_attn.o_proj, layer.mlp.down_proj):
            linear.weight.data[removed] = 0
            if linear.bias is not None:
                linear.bias.data[removed] = 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", NORMED)
@pytest.mark.parametrize("criterion", ["energy", "minitron"])
def test_the_cut_model_is_the_masked_model(criterion: str, family: str, tmp_path: Path, context: RecordingContext) -> None:
    folder = make(family, tmp_path)
    spec = spec_for(folder, "width", criterion=criterion, sparsity=0.25, multiple_of=8)
    written = prune(spec, tmp_path / "out", context)
    removed = list(written.importance[0].removed)
    assert len(removed) == 16
    masked, result = load(folder), load(tmp_path / "out")
    mask_width(masked, removed)
    assert distance(logits(result), logits(masked)) < 1e-5
    assert result.config.hidden_size == 48
    card = ModelCard.from_folder(folder)
    assert METHODS["width"].parameters_after(spec.request, card) == ModelCard.from_folder(tmp_path / "out").parameters == written.parameters
    assert context.steps[-1][0] == context.steps[-1][1]


def test_minitron_sums_the_sizes_of_what_norms_return(tmp_path: Path, context: RecordingContext) -> None:
    folder = make("llama", tmp_path)
    written = prune(spec_for(folder, "width", criterion="minitron", sparsity=0.25, multiple_of=8), tmp_path / "out", context)
    model = load(folder)
    seen: list[Tensor] = []
    for layer in model.model.layers:
        for norm in (layer.input_layernorm, layer.post_attention_layernorm):
            norm.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    logits(model, windows_of())
    expected = torch.stack([output.abs().mean(dim=1).norm(dim=0) for output in seen]).sum(dim=0)
    assert torch.allclose(torch.tensor(written.importance[0].scores), expected, rtol=1e-4)


def test_energy_is_the_share_in_what_linears_read(tmp_path: Path, context: RecordingContext) -> None:
    folder = make("qwen2", tmp_path)
    written = prune(spec_for(folder, "width", sparsity=0.25, multiple_of=8), tmp_path / "out", context)
    model = load(folder)
    expected = torch.zeros(64, dtype=torch.float64)

    def take(module: Any, inputs: Any) -> None:
        energies = module.weight.detach().double().square().sum(0) * inputs[0].double().square().mean((0, 1))
        expected.add_(energies / energies.sum())

    for layer in model.model.layers:
        linears = (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj, layer.mlp.gate_proj, layer.mlp.up_proj)
        for linear in linears:
            linear.register_forward_pre_hook(take)
    logits(model, windows_of())
    assert torch.allclose(torch.tensor(written.importance[0].scores, dtype=torch.float64), expected, rtol=1e-4)


def test_a_stopped_cut_is_resumed_byte_for_byte(tmp_path: Path, context: RecordingContext) -> None:
    folder = make("gemma3", tmp_path)
    spec = spec_for(folder, "width", sparsity=0.25, multiple_of=8)
    whole = prune(spec, tmp_path / "whole", context)
    for stop in (1, 2, 4):
        context.steps.clear()
        context.cancel_when = lambda context, stop=stop: bool(context.steps) and context.steps[-1][0] >= stop  # type: ignore[misc]
        with pytest.raises(Cancelled):
            prune(spec, tmp_path / f"resumed-{stop}", context, store=ResumeStore(tmp_path / f"kept-{stop}"))
        context.cancel_when = lambda _context: False
        assert prune(spec, tmp_path / f"resumed-{stop}", context, store=ResumeStore(tmp_path / f"kept-{stop}")) == whole
        for name in ("model.safetensors", "config.json"):
            assert (tmp_path / f"resumed-{stop}" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_configuration_says_the_new_width(tmp_path: Path, context: RecordingContext) -> None:
    folder = make("qwen3", tmp_path)
    prune(spec_for(folder, "width", sparsity=0.25, multiple_of=8), tmp_path / "out", context)
    before, after = (json.loads((path / "config.json").read_text()) for path in (folder, tmp_path / "out"))
    assert after == before | {"hidden_size": 48, "rms_norm_eps": pytest.approx(before["rms_norm_eps"] * 64 / 48)}


@pytest.mark.parametrize(
    ("family", "options", "sentence"),
    [
        ("cohere2", {}, "LayerNorm, whose mean depends on every hidden column"),
        (
            "llama",
            {"sparsity": 0.25, "multiple_of": 4, "remove": 12},
            r"hidden size 52 is not a multiple of its 8 query heads: set multiple-of to 1 and remove to 8 or 16",
        ),
        ("llama", {"remove": 64}, "none would be left"),
        ("llama", {"sparsity": 0.01}, "nothing would be removed"),
    ],
)
def test_what_cannot_be_cut_is_refused_on_the_card(family: str, options: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    folder = make(family, tmp_path)
    spec = spec_for(folder, "width", **options)
    with pytest.raises(RequestError, match=sentence):
        METHODS["width"].require(spec.request, ModelCard.from_folder(folder))
