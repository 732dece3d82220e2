"""A model without some of its blocks is the original that skips them, in every family and with a cache; the scores are what they claim."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.errors import Cancelled, RequestError
from core.models.card import ModelCard
from core.prune.methods import METHODS
from core.prune.structure.depth import walk as layer_walk
from core.prune.structure.depth.scores import spearman
from core.runs.resume_store import ResumeStore
from tests.core.conftest import RecordingContext
from tests.core.prune.structure.models import FAMILIES, distance, load, logits, make, prune, spec_for, windows_of

DEEP: dict[str, Any] = {"num_hidden_layers": 7}


class _Skipped(nn.Module):
    """Returns what it is given, as a block does."""

    def forward(self, hidden: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
        return hidden


def without(folder: Path, removed: Sequence[int]) -> Any:
    """The original, in which some blocks do nothing."""
    model = load(folder)
    for block in removed:
        skipped = _Skipped()
        for name in ("attention_type", "layer_type"):
            if hasattr(model.model.layers[block], name):
                setattr(skipped, name, getattr(model.model.layers[block], name))
        model.model.layers[block] = skipped
    return model


def greedy_without_cache(model: Any, prompt: Tensor, count: int) -> Tensor:
    tokens = prompt
    for _ in range(count):
        tokens = torch.cat([tokens, logits(model, tokens)[:, -1:].argmax(dim=-1)], dim=1)
    return tokens


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_result_is_the_original_that_skips_the_blocks(family: str, tmp_path: Path, context: RecordingContext) -> None:
    folder = make(family, tmp_path, **DEEP)
    spec = spec_for(folder, "layers", remove=3, criterion="perplexity")
    written = prune(spec, tmp_path / "out", context)
    removed = [score.block for score in written.blocks if score.removed]
    assert len(removed) == 3
    skipping, result = without(folder, removed), load(tmp_path / "out")
    assert distance(logits(result), logits(skipping)) < 1e-5
    prompt = windows_of(2, 12)
    expected = greedy_without_cache(skipping, prompt, 64)
    found = result.generate(prompt, max_new_tokens=64, min_new_tokens=64, do_sample=False, use_cache=True, eos_token_id=None)
    assert torch.equal(found, expected)
    card = ModelCard.from_folder(folder)
    assert METHODS["layers"].parameters_after(spec.request, card) == ModelCard.from_folder(tmp_path / "out").parameters == written.parameters


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "gemma3", "smollm3", "olmo3", "cohere2"])
def test_blocks_keep_their_kinds_and_periods_are_dropped(family: str, tmp_path: Path, context: RecordingContext) -> None:
    from transformers import AutoConfig

    folder = make(family, tmp_path, **DEEP)
    written = prune(spec_for(folder, "layers", remove=2), tmp_path / "out", context)
    kept = [score.block for score in written.blocks if not score.removed]
    before: Any = AutoConfig.from_pretrained(folder)
    after: Any = AutoConfig.from_pretrained(tmp_path / "out")
    assert after.layer_types == [before.layer_types[block] for block in kept]
    if family == "smollm3":
        assert after.no_rope_layers == [before.no_rope_layers[block] for block in kept]
    raw = json.loads((tmp_path / "out" / "config.json").read_text())
    assert not {"sliding_window_pattern", "_sliding_window_pattern", "max_window_layers", "no_rope_layer_interval"} & set(raw)
    assert raw["num_hidden_layers"] == 5


def kl_and_nll(model: Any, original: Tensor, windows: Tensor) -> tuple[float, float]:
    reference, found = original[:, :-1].double().log_softmax(-1), logits(model, windows)[:, :-1].double().log_softmax(-1)
    kl = (reference.exp() * (reference - found)).sum(-1).mean()
    return float(kl), float(-found.gather(-1, windows[:, 1:, None]).mean())


@pytest.mark.parametrize("states_bytes", [2**30, 3 * 40 * 64 * 4, 12 * 40 * 64 * 4])
def test_the_scores_are_those_of_the_whole_models(
    states_bytes: int, tmp_path: Path, context: RecordingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever share of windows and group of candidates walks together."""
    monkeypatch.setattr(layer_walk, "STATES_BYTES", states_bytes)
    folder = make("gemma3", tmp_path, num_hidden_layers=5)
    written = prune(spec_for(folder, "layers", remove=2, calibration_samples=8, calibration_length=40), tmp_path / "out", context)
    windows, original = windows_of(), load(folder)
    reference = logits(original, windows)
    for score in written.blocks:
        kl, nll = kl_and_nll(without(folder, [score.block]), reference, windows)
        assert score.kl == pytest.approx(kl, rel=1e-4)
        assert score.ppl_ratio == pytest.approx(math.exp(nll - kl_and_nll(original, reference, windows)[1]), rel=1e-4)
    states = block_states(original, windows)
    for score, (before, after) in zip(written.blocks, pairwise(states), strict=True):
        assert score.influence == pytest.approx(1 - float(torch.cosine_similarity(before, after, dim=-1).mean()), abs=1e-6)
    for score in written.blocks[:4]:
        cosine = torch.cosine_similarity(states[score.block][:, -1], states[score.block + 2][:, -1], dim=-1)
        assert score.angular == pytest.approx(float((cosine.acos() / math.pi).mean()), abs=1e-5)
    assert written.blocks[4].angular is None
    assert context.steps[-1][0] == context.steps[-1][1]


def block_states(model: Any, windows: Tensor) -> list[Tensor]:
    """What enters each block, and what the last one returns: before the last norm."""
    states: list[Tensor] = []
    layers = model.model.layers
    handles = [
        layer.register_forward_pre_hook(lambda _m, args, kwargs: states.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True)
        for layer in layers
    ]
    handles.append(layers[-1].register_forward_hook(lambda _m, _i, output: states.append(output[0] if isinstance(output, tuple) else output)))
    logits(model, windows)
    for handle in handles:
        handle.remove()
    return states


def test_greedy_removes_the_cheapest_block_again_and_again(tmp_path: Path, context: RecordingContext) -> None:
    folder = make("llama", tmp_path, num_hidden_layers=6)
    written = prune(spec_for(folder, "layers", remove=3), tmp_path / "out", context)
    windows = windows_of()
    reference = logits(load(folder), windows)
    gone: list[int] = []
    for step in range(3):
        divergences = {block: kl_and_nll(without(folder, [*gone, block]), reference, windows)[0] for block in range(6) if block not in gone}
        best = min(divergences, key=lambda block: divergences[block])
        score = next(score for score in written.blocks if score.step == step + 1)
        assert score.block == best
        assert score.kl_at_removal == pytest.approx(divergences[best], rel=1e-4)
        gone.append(best)
    assert {score.block for score in written.blocks if score.removed} == set(gone)


@pytest.mark.parametrize(("criterion", "attribute"), [("perplexity", "ppl_ratio"), ("influence", "influence")])
def test_one_round_criteria_take_the_lowest_scores(criterion: str, attribute: str, tmp_path: Path, context: RecordingContext) -> None:
    folder = make("qwen3", tmp_path, num_hidden_layers=6)
    written = prune(spec_for(folder, "layers", remove=2, criterion=criterion), tmp_path / "out", context)
    ranked = sorted(written.blocks, key=lambda score: getattr(score, attribute))
    assert {score.block for score in ranked[:2]} == {score.block for score in written.blocks if score.removed}
    assert all(score.step is None for score in written.blocks)


def test_the_angular_distance_removes_a_run(tmp_path: Path, context: RecordingContext) -> None:
    folder = make("qwen3", tmp_path, num_hidden_layers=6)
    written = prune(spec_for(folder, "layers", remove=3, criterion="angular"), tmp_path / "out", context)
    start = min((score for score in written.blocks if score.angular is not None), key=lambda score: score.angular or 0).block
    assert [score.block for score in written.blocks if score.removed] == [start, start + 1, start + 2]


def test_a_stopped_search_is_resumed_byte_for_byte(tmp_path: Path, context: RecordingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_walk, "STATES_BYTES", 14 * 40 * 64 * 4)
    folder = make("gemma2", tmp_path, num_hidden_layers=5)
    spec = spec_for(folder, "layers", remove=2, calibration_samples=6, calibration_length=40)
    whole = prune(spec, tmp_path / "whole", context)
    total = context.steps[-1][1]
    for stop in (3, 12, 20, 26):
        context.steps.clear()
        context.cancel_when = lambda context, stop=stop: bool(context.steps) and context.steps[-1][0] >= stop  # type: ignore[misc]
        with pytest.raises(Cancelled):
            prune(spec, tmp_path / f"resumed-{stop}", context, store=ResumeStore(tmp_path / f"kept-{stop}"))
        context.cancel_when = lambda _context: False
        context.steps.clear()
        resumed = prune(spec, tmp_path / f"resumed-{stop}", context, store=ResumeStore(tmp_path / f"kept-{stop}"))
        assert resumed == whole
        assert context.steps[-1][:2] == (total, total)
        for name in ("model.safetensors", "config.json"):
            assert (tmp_path / f"resumed-{stop}" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "options", "sentence"),
    [
        ({}, {"remove": 7}, "none of them would be left"),
        ({}, {"sparsity": 0.1}, "less than one layer"),
        ({"mystery_of_blocks": list(range(7))}, {"remove": 2}, "one by one in mystery_of_blocks"),
        ({"num_kv_shared_layers": 2}, {"remove": 2}, "num_kv_shared_layers in config.json"),
        ({"num_nextn_predict_layers": 1}, {"remove": 2}, "num_nextn_predict_layers in config.json"),
    ],
)
def test_what_cannot_be_cut_is_refused_on_the_card(
    settings: dict[str, Any], options: dict[str, Any], sentence: str, tmp_path: Path, context: RecordingContext
) -> None:
    folder = make("llama", tmp_path, **DEEP)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    spec = spec_for(folder, "layers", **options)
    with pytest.raises(RequestError, match=sentence):
        METHODS["layers"].require(spec.request, ModelCard.from_folder(folder))


def test_spearman_is_scipys_with_ties() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 30, 25]) == pytest.approx(0.8)
    assert spearman([1, 1, 2, 3], [1, 2, 2, 3]) == pytest.approx(0.833333, abs=1e-6)
    assert spearman([1, 1], [1, 2]) == 0
