"""Predictions on disk: scored once, resumed, shared by students, and the same training as from a teacher in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.distill.run import run
from core.distill.spec import DistillSpec
from core.distill.teacher.cache import WINDOWS_A_PART, TeacherCache, cache_folder
from core.errors import RequestError, RunFailed
from tests.core.conftest import RecordingContext
from tests.core.distill.requests import spec_for

WINDOWS = torch.arange(40 * 6).view(40, 6) % 50
SHAPE: dict[str, Any] = {"kind": "top", "count": 4, "vocabulary": 50, "seed": 0}


def predict(window: Tensor) -> Tensor:
    return (window[:-1, None] * torch.arange(50)).float().sin() * 3


def test_parts_that_are_there_are_not_scored_again(tmp_path: Path) -> None:
    cache = TeacherCache(tmp_path / "cache", WINDOWS, "top", 4, 0, 50)
    assert cache.missing == [0, 1, 2]
    cache.score(1, predict)
    assert TeacherCache(tmp_path / "cache", WINDOWS, "top", 4, 0, 50).missing == [0, 2]


def test_rows_are_what_was_kept_of_each_window(tmp_path: Path) -> None:
    cache = TeacherCache(tmp_path / "cache", WINDOWS, "top", 4, 0, 50)
    for part in cache.missing:
        cache.score(part, predict)
    numbers = torch.tensor([0, 39, WINDOWS_A_PART, 3])
    words, shares = cache.rows(numbers)
    for row, number in enumerate(numbers.tolist()):
        expected = predict(WINDOWS[number]).log_softmax(-1).topk(4)
        assert torch.equal(words[row].long(), expected.indices)
        torch.testing.assert_close(shares[row], expected.values)


def test_drawn_words_are_the_same_in_whatever_order_parts_are_scored(tmp_path: Path) -> None:
    found = []
    for name, order in (("a", (0, 1, 2)), ("b", (2, 0, 1))):
        cache = TeacherCache(tmp_path / name, WINDOWS, "drawn", 5, 3, 50)
        for part in order:
            cache.score(part, predict)
        found.append(cache.rows(torch.arange(40))[0])
    assert torch.equal(*found)


def test_the_folder_is_another_for_anything_that_changes_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPT_HOME", str(tmp_path))
    teacher = {"model.safetensors": {"bytes": 1}}
    first = cache_folder(teacher, WINDOWS, **SHAPE)
    assert first == cache_folder(teacher, WINDOWS, **{**SHAPE, "seed": 9}), "likeliest words are not drawn"
    others = [cache_folder({"model.safetensors": {"bytes": 2}}, WINDOWS, **SHAPE), cache_folder(teacher, WINDOWS + 1, **SHAPE)]
    others += [cache_folder(teacher, WINDOWS, **{**SHAPE, **change}) for change in ({"kind": "drawn"}, {"count": 5}, {"vocabulary": 49})]
    assert len({first, *others}) == 6
    assert first.is_relative_to(tmp_path)


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    cache = TeacherCache(tmp_path / "cache", WINDOWS, "top", 4, 0, 50)
    cache.score(0, predict)
    next((tmp_path / "cache").glob("part-*")).write_bytes(b"damaged")
    with pytest.raises(RunFailed, match=r"remove .* and start again"):
        cache.rows(torch.tensor([0]))


def losses(context: RecordingContext) -> list[float]:
    return [value for name, value, _, label in context.metrics if name == "distill_loss" and not label]


def test_all_words_on_disk_train_as_a_teacher_in_memory(tiny_llama_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPT_HOME", str(tmp_path / "home"))
    found = {}
    for name, changes in (("memory", {}), ("disk", {"teacher": "top", "kept_words": 300})):
        context = RecordingContext(tmp_path / name)
        context.artifacts.mkdir()
        found[name] = run(spec_for(tiny_llama_dir, **changes), context), losses(context)
    assert found["disk"][1] == pytest.approx(found["memory"][1], rel=1e-3)
    assert found["disk"][0].metrics.kl_mean == pytest.approx(found["memory"][0].metrics.kl_mean, rel=1e-3)


@pytest.mark.parametrize("kind", ["top", "drawn"])
def test_a_second_student_scores_nothing(kind: str, tiny_llama_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPT_HOME", str(tmp_path / "home"))
    said = []
    for name, rate in (("one", 1e-3), ("two", 3e-3)):
        context = RecordingContext(tmp_path / name)
        context.artifacts.mkdir()
        result = run(spec_for(tiny_llama_dir, teacher=kind, kept_words=12, learning_rate=rate), context)
        said.append([label for _, _, label in context.steps if "keeping" in label])
        assert result.metrics.steps == 6
        assert context.steps[-1][0] == context.steps[-1][1]
    assert said[0]
    assert not said[1]
    assert len(list((tmp_path / "home" / "teachers").iterdir())) == 1


@pytest.mark.parametrize(
    "changes",
    [{"temperature": 2}, {"divergence": "reverse-kl"}, {"features": "hidden"}, {"alpha": 0}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_cannot_be_learned_from_kept_words_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=r"choose resident|omit teacher"):
        DistillSpec.parse({"model": "bundled:base", "teacher": "top", **changes})
