"""Medusa through the run that measures it: trained once, found again, refused for another model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import Cancelled, RequestError
from core.models.resolve import resolve
from core.runs.state.home import home
from core.runtime.cache import KvCache, KvLayer
from core.runtime.caches.static import StaticKvLayer
from core.runtime.generate import generate
from core.runtime.opening import open_decoder
from core.runtime.sampling import Sampling
from core.speculate.check import check
from core.speculate.lossless.run import run as judge
from core.speculate.lossless.spec import SpeculateTestSpec
from core.speculate.medusa import speculator as ways
from core.speculate.medusa.speculator import MedusaSpeculator, check_tree, tree_seconds
from core.speculate.medusa.train import TrainSettings
from core.speculate.result import SpeculateResult
from core.speculate.run import run
from core.speculate.spec import SpeculateSpec
from core.text import Corpus
from tests.core.conftest import RecordingContext

FEW = {"drafter": "medusa", "prompts": 2, "prompt_tokens": 24, "tokens": 20, "repeats": 1, "threads": 1}
TEXT = Corpus("counting", " ".join(f"{number} comes after {number - 1}." for number in range(1, 1200)))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few timings, little training."""
    monkeypatch.setattr(ways, "TIMED_ROUNDS", 4)
    monkeypatch.setattr(ways, "PLAIN_STEPS", 6)
    monkeypatch.setattr(ways, "_TRIALS", 1)
    monkeypatch.setattr(ways, "_BLOCKS", 1)
    monkeypatch.setattr(ways, "corpus", lambda: TEXT)
    settings = TrainSettings(heads=4, tokens=4000, context=100, steps=20, rows=64, seconds=60)
    monkeypatch.setattr(ways, "TrainSettings", lambda: settings)


def of(context: RecordingContext, model: Path, **values: Any) -> SpeculateResult:
    return run(SpeculateSpec.parse(FEW | {"model": str(model)} | values), context)


def test_heads_are_trained_once_and_found_again(context: RecordingContext, tiny_llama_dir: Path) -> None:
    first = of(context, tiny_llama_dir, temperature=(0.0, 0.8))
    assert any("trained in" in line for line in context.lines)
    assert [kind for _, kind in context.made] == ["drafter"]
    assert any("Medusa heads" in label for _, _, label in context.steps)
    assert first.identical is True
    assert first.draft == "4 Medusa heads"
    assert first.draft_parameters is not None
    assert all(row.speedup > 0 and row.predicted_speedup > 0 for row in first.rows)
    again = RecordingContext(context.artifacts)
    second = of(again, tiny_llama_dir)
    assert not any("trained in" in line for line in again.lines)
    assert second.identical is True
    named = of(RecordingContext(context.artifacts), tiny_llama_dir, medusa_heads=str(context.made[0][0]), acceptance="typical")
    assert named.lossless is False


def test_damaged_heads_are_trained_again_where_nobody_named_them(context: RecordingContext, tiny_llama_dir: Path) -> None:
    of(context, tiny_llama_dir)
    folder = context.made[0][0]
    assert folder.is_relative_to(home())
    (folder / "heads.safetensors").write_bytes(b"no")
    again = RecordingContext(context.artifacts)
    of(again, tiny_llama_dir)
    assert any("damaged" in line and "again" in line for line in again.lines)
    (folder / "heads.safetensors").write_bytes(b"no")
    with pytest.raises(RequestError, match="damaged"):
        of(again, tiny_llama_dir, medusa_heads=str(folder))


def test_heads_of_another_model_are_refused(context: RecordingContext, tiny_llama_dir: Path, tmp_path: Path) -> None:
    of(context, tiny_llama_dir)
    other = tmp_path / "other"
    shutil.copytree(tiny_llama_dir, other)
    config = (other / "config.json").read_text()
    (other / "config.json").write_text(config + "\n")
    with pytest.raises(RequestError, match="another model"):
        of(context, other, medusa_heads=str(context.made[0][0]))


def test_training_can_be_cancelled(context: RecordingContext, tiny_llama_dir: Path) -> None:
    context.cancel_when = lambda context: any("Medusa heads" in label for _, _, label in context.steps)
    with pytest.raises(Cancelled):
        of(context, tiny_llama_dir)
    assert context.made == []


def test_the_losslessness_test_passes(context: RecordingContext, tiny_llama_dir: Path) -> None:
    spec = SpeculateTestSpec.parse(
        {
            "model": str(tiny_llama_dir),
            "drafter": "medusa",
            "draws": 2000,
            "model_draws": 200,
            "prompts": 2,
            "prompt_tokens": 16,
            "tokens": 12,
            "threads": 1,
        }
    )
    result = judge(spec, context)
    assert result.greedy is not None
    assert result.greedy.identical == 2
    assert result.lossless


def test_the_tree_is_as_deep_as_asked_and_never_empty(target: Any, heads: Any, tree: Any) -> None:
    way = MedusaSpeculator(open_decoder(target, 128), heads, tree)
    assert way.tree(1).depth == 1
    assert all(1 <= len(way.tree(gamma).paths) <= len(tree.paths) for gamma in (1, 2, 3, 5))
    prompt = torch.arange(5)[None]
    every = list(way.rounds(prompt, gamma=3, sampling=Sampling(), max_new_tokens=30))
    assert [token for done in every for token in done.emitted[0]] == generate(target, prompt, max_new_tokens=30).tokens[0]
    assert way.calls == sum(done.candidates > 0 for done in every)
    with pytest.raises(RequestError, match="padding"):
        next(way.rounds(prompt, gamma=3, sampling=Sampling(), max_new_tokens=3, real=torch.tensor([[False] + [True] * 4])))


def test_costs_are_measured_for_every_size_and_leave_the_cache_empty(target: Any, heads: Any, tree: Any) -> None:
    decoder = open_decoder(target, 96)
    measured = tree_seconds(decoder, heads, tree)
    assert [nodes for nodes, _ in measured] == [0, 1, 2, 3, 4, 6, 8, 12, 16, 24]
    seconds = [each for _, each in measured]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    assert decoder.length == 0


def test_a_target_that_cannot_keep_a_branch_is_refused_before_anything_is_trained(target: Any) -> None:
    class OneWay(StaticKvLayer):
        """Forgets, and keeps no branch."""

        select = KvLayer.select

    cache = KvCache([OneWay(64) for _ in range(2)])
    with pytest.raises(RequestError, match="branch of a tree"):
        check_tree(open_decoder(target, 64, cache=cache))
    decoder = open_decoder(target, 64)
    check_tree(decoder)
    assert decoder.length == 0


def test_the_check_says_that_heads_will_be_trained(context: RecordingContext, tiny_llama_dir: Path) -> None:
    spec = SpeculateSpec.parse(FEW | {"model": str(tiny_llama_dir)})
    card = resolve(str(tiny_llama_dir)).card()
    before = check(spec, card)
    assert any("trained first" in warning for warning in before.warnings)
    of(context, tiny_llama_dir)
    after = check(spec, card)
    assert not any("trained first" in warning for warning in after.warnings)
    assert after.peak_memory_bytes < before.peak_memory_bytes
