"""A model whose channels were cut is the masked model, in every family; what the criteria and compensations promise holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.errors import Cancelled, RequestError
from core.models.card import ModelCard
from core.prune.methods import METHODS
from core.prune.pipeline.writer import Written
from core.runs.resume_store import ResumeStore
from tests.core.conftest import RecordingContext
from tests.core.prune.structure.models import FAMILIES, distance, load, logits, make, prune, spec_for


def mask_channels(model: Any, written: Written) -> None:
    """Zero, in the original, all that makes and reads the channels that were removed."""
    width = written.importance[0].size
    for figures in written.importance:
        mlp: Any = model.model.layers[figures.block].mlp
        gone = list(figures.removed)
        for name, linear in mlp.named_children():
            if name in {"gate_proj", "up_proj", "c_fc"}:
                linear.weight.data[gone] = 0
            elif name == "gate_up_proj":
                linear.weight.data[gone + [width + channel for channel in gone]] = 0
            elif name in {"down_proj", "c_proj"}:
                linear.weight.data[:, gone] = 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_cut_model_is_the_masked_model(family: str, tmp_path: Path, context: RecordingContext) -> None:
    folder = make(family, tmp_path)
    spec = spec_for(folder, "channels", criterion="wanda", compensation="none", sparsity=0.3, multiple_of=8)
    written = prune(spec, tmp_path / "out", context)
    assert [(kept.axis, kept.before, kept.after) for kept in written.kept] == [("channels", 96, 72)]
    masked = load(folder)
    mask_channels(masked, written)
    assert distance(logits(load(tmp_path / "out")), logits(masked)) < 1e-5
    card = ModelCard.from_folder(folder)
    assert METHODS["channels"].parameters_after(spec.request, card) == ModelCard.from_folder(tmp_path / "out").parameters == written.parameters
    assert {len(figures.removed) for figures in written.importance} == {24}


@pytest.mark.parametrize("criterion", ["obs", "wanda", "flap", "minitron", "norm"])
def test_least_squares_lowers_the_error_of_every_criterion(criterion: str, tmp_path: Path, context: RecordingContext) -> None:
    folder = make("llama", tmp_path)
    written = prune(spec_for(folder, "channels", criterion=criterion, sparsity=0.5, multiple_of=8), tmp_path / "out", context)
    assert all(figures.error < 0.95 * figures.error_before for figures in written.linears if figures.error_before is not None)
    assert all(figures.sparsity == 0.5 for figures in written.linears)
    assert len(written.linears) == 3
    assert torch.isfinite(logits(load(tmp_path / "out"))).all()


def test_criterion_norm_reads_no_text_without_compensation(tmp_path: Path, context: RecordingContext) -> None:
    spec = spec_for(make("llama", tmp_path), "channels", criterion="norm", compensation="none", multiple_of=8)
    assert not spec.calibrates
    written = prune(spec, tmp_path / "out", context)
    assert all(figures.error_before is None and 0 < figures.error < 1 for figures in written.linears)


@pytest.mark.parametrize("family", ["llama", "llama-biases", "smollm3", "granite", "starcoder2"])
def test_a_bias_makes_up_for_the_mean(family: str, tmp_path: Path, context: RecordingContext) -> None:
    folder = make(family, tmp_path)
    spec = spec_for(folder, "channels", criterion="flap", compensation="bias", sparsity=0.5, multiple_of=8)
    written = prune(spec, tmp_path / "out", context)
    assert all(figures.error < figures.error_before for figures in written.linears if figures.error_before is not None)
    model = load(tmp_path / "out")
    masked = load(folder)
    mask_channels(masked, written)
    block: Any = model.model.layers[0].mlp
    down = block.c_proj if family == "starcoder2" else block.down_proj
    assert bool(down.bias.any())
    if family == "llama":
        assert not bool(block.gate_proj.bias.any())
    for index in range(3):
        ours, theirs = model.model.layers[index].mlp, masked.model.layers[index].mlp
        name = "c_proj" if family == "starcoder2" else "down_proj"
        getattr(theirs, name).bias = nn.Parameter(getattr(ours, name).bias.detach().clone())
    assert distance(logits(model), logits(masked)) < 1e-5
    assert METHODS["channels"].parameters_after(spec.request, ModelCard.from_folder(folder)) == written.parameters


def test_the_masked_bias_error_is_that_of_the_outputs(tmp_path: Path, context: RecordingContext) -> None:
    """The figure comes from moments; here the outputs themselves are compared, on the very calibration windows."""
    from tests.core.prune.structure.models import windows_of

    folder = make("llama-biases", tmp_path, num_hidden_layers=1)
    written = prune(spec_for(folder, "channels", criterion="flap", compensation="bias", sparsity=0.5, multiple_of=8), tmp_path / "out", context)
    seen: dict[str, torch.Tensor] = {}
    for name, path in (("before", folder), ("after", tmp_path / "out")):
        model = load(path)
        down = model.model.layers[0].mlp.down_proj
        handle = down.register_forward_hook(lambda module, _inputs, output, name=name: seen.update({name: output}))
        logits(model, windows_of())
        handle.remove()
    biased = load(folder).model.layers[0].mlp.down_proj.bias.detach()
    difference, outputs = seen["after"] - seen["before"], seen["before"] - biased
    assert written.linears[0].error == pytest.approx(float(difference.norm() / outputs.norm()), rel=1e-3)


def stopping_after(blocks: int) -> Callable[[RecordingContext], bool]:
    return lambda context: sum(name == "linear_error" for name, *_ in context.metrics) > blocks


def test_a_stopped_cut_is_resumed_byte_for_byte(tmp_path: Path, context: RecordingContext) -> None:
    folder = make("llama", tmp_path)
    spec = spec_for(folder, "channels", sparsity=0.5, multiple_of=8)
    whole = prune(spec, tmp_path / "whole", context)
    for stop in (1, 2):
        context.metrics.clear()
        context.cancel_when = stopping_after(stop)
        with pytest.raises(Cancelled):
            prune(spec, tmp_path / f"resumed-{stop}", context, store=ResumeStore(tmp_path / f"kept-{stop}"))
        context.cancel_when = lambda _context: False
        assert ResumeStore(tmp_path / f"kept-{stop}").blocks == stop
        resumed = prune(spec, tmp_path / f"resumed-{stop}", context, store=ResumeStore(tmp_path / f"kept-{stop}"))
        assert resumed == whole
        for name in ("model.safetensors", "config.json"):
            assert (tmp_path / f"resumed-{stop}" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_configuration_differs_in_its_width_alone(tmp_path: Path, context: RecordingContext) -> None:
    folder = make("gemma3", tmp_path)
    prune(spec_for(folder, "channels", sparsity=0.5), tmp_path / "out", context)
    before, after = (json.loads((path / "config.json").read_text()) for path in (folder, tmp_path / "out"))
    assert after == before | {"intermediate_size": 64}


@pytest.mark.parametrize(
    ("family", "options", "sentence"),
    [
        ("llama", {"remove": 96}, "none would be left"),
        ("llama", {"sparsity": 0.05}, "nothing would be removed"),
        ("qwen2", {"compensation": "bias", "criterion": "flap", "sparsity": 0.5}, "no place for a bias in mlp.down_proj"),
    ],
)
def test_what_cannot_be_cut_is_refused(family: str, options: dict[str, Any], sentence: str, tmp_path: Path, context: RecordingContext) -> None:
    with pytest.raises(RequestError, match=sentence):
        prune(spec_for(make(family, tmp_path), "channels", **options), tmp_path / "out", context)
    assert not (tmp_path / "out").exists()
