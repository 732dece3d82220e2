"""What a distillation may be asked for."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from core.distill.check import check
from core.distill.naming import recipe_name
from core.distill.spec import DistillSpec
from core.distill.student.blocks import kept_blocks, usual_blocks
from core.errors import RequestError
from core.models.resolve import resolve

FREE = 2**36
TEACHER = "bundled:base"


def parse(**values: Any) -> DistillSpec:
    return DistillSpec.parse({"model": TEACHER, **values})


def test_the_default_is_forward_kl_alone_at_temperature_one() -> None:
    spec = parse()
    assert (spec.divergence, spec.alpha, spec.temperature) == ("forward-kl", 1.0, 1.0)
    assert spec.objective == "forward-kl"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"temperature": 0}, "temperature = 0"),
        ({"temperature": -1}, "temperature = -1"),
        ({"alpha": 1.5}, "alpha = 1.5"),
        ({"alpha": -0.1}, "alpha = -0.1"),
        ({"divergence": "kl"}, "divergence = 'kl'"),
        ({"student": "bundled:draft", "layers": 3}, "exclude each other"),
        ({"tokens_per_step": 100, "length": 512}, "do not fill one sequence"),
        ({"eval_tokens": 100, "context": 512}, "do not fill one window"),
        ({"steps": 0}, "steps = 0"),
        ({"schedule": "step"}, "schedule = 'step'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse(**values)
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "objective", "name"),
    [
        ({"alpha": 0}, "cross-entropy", "cross-entropy-300"),
        ({"alpha": 0.7, "temperature": 2}, "0.7 forward-kl + 0.3 cross-entropy, T 2", "forward-kl-a0.7-t2-300"),
        ({"divergence": "jensen-shannon"}, "jensen-shannon", "jensen-shannon-300"),
    ],
)
def test_the_loss_in_words(values: dict[str, Any], objective: str, name: str) -> None:
    assert parse(**values).objective == objective
    assert recipe_name(parse(**values)) == name


@pytest.mark.parametrize("blocks", range(2, 41))
def test_kept_blocks_are_spread_with_first_and_last(blocks: int) -> None:
    for kept in range(2, blocks + 1):
        chosen = kept_blocks(blocks, kept)
        assert len(set(chosen)) == kept
        assert (chosen[0], chosen[-1]) == (0, blocks - 1)
        gaps = [after - before for before, after in pairwise(chosen)]
        assert max(gaps) - min(gaps) <= 1
    assert kept_blocks(blocks, 1) == (0,)
    assert 1 <= usual_blocks(blocks) < blocks


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"layers": 10}, "leaves nothing out"),
        ({"length": 4096, "tokens_per_step": 4096}, "longer than the context"),
        ({"context": 4096, "eval_tokens": 8192}, "longer than the context"),
        ({"student": "nowhere/at-all"}, "nowhere/at-all"),
    ],
)
def test_what_does_not_fit_the_models_is_refused_before_any_work(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RequestError) as refused:
        check(parse(**values), resolve(TEACHER).card(), memory_available=FREE, disk_free=FREE)
    assert complaint in str(refused.value)


def test_a_training_that_does_not_fit_names_the_ways_out() -> None:
    with pytest.raises(RequestError, match=r"GiB \(estimate\).*set micro-rows to 1, set recompute"):
        check(parse(), resolve(TEACHER).card(), memory_available=2**28, disk_free=FREE)


def test_ways_out_lower_the_forecast() -> None:
    card = resolve(TEACHER).card()
    found = [
        check(parse(**values), card, memory_available=FREE, disk_free=FREE).peak_memory_bytes
        for values in ({}, {"micro_rows": 1}, {"micro_rows": 1, "recompute": True})
    ]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 3


def test_the_parameters_of_a_new_student_are_counted_as_its_blocks() -> None:
    found = check(parse(layers=7), resolve(TEACHER).card(), memory_available=FREE, disk_free=FREE)
    assert found.parameters_student == 5_181_184  # as transformers counts the written model
    assert found.student == "bundled:base, 7 of 10 blocks"


def test_a_student_larger_than_its_teacher_is_warned_of_with_figures() -> None:
    spec = DistillSpec.parse({"model": "bundled:draft", "student": "bundled:base"})
    found = check(spec, resolve("bundled:draft").card(), memory_available=FREE, disk_free=FREE)
    assert any("6,952,192" in warning for warning in found.warnings)


@pytest.mark.parametrize(("at_home", "refused"), [(2**20, True), (FREE, False)])
def test_predictions_of_the_teacher_need_room_in_the_home_wherever_the_checkpoint_goes(
    at_home: int, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.distill.check.disk_free_for", lambda out: at_home if out is None else FREE + 2**20 - at_home)
    spec, card = parse(teacher="top", out=str(tmp_path / "out")), resolve(TEACHER).card()
    if refused:
        with pytest.raises(RequestError, match="predictions take up to"):
            check(spec, card, memory_available=FREE)
    else:
        assert check(spec, card, memory_available=FREE).kept_bytes > 2**20


def test_a_quantized_student_is_refused(tmp_path: Path, tiny_llama_dir: Path) -> None:
    import json
    import shutil

    folder = tmp_path / "quantized"
    shutil.copytree(tiny_llama_dir, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "fp8"}}))
    with pytest.raises(RequestError, match="already quantized"):
        check(parse(student=str(folder)), resolve(TEACHER).card(), memory_available=FREE, disk_free=FREE)
