"""A whole distillation: request to checkpoint, figures, what transformers makes of it, and what a stop in the middle changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.distill.events import HeldOut
from core.distill.run import run
from core.errors import Cancelled, RequestError
from tests.core.conftest import RecordingContext
from tests.core.distill.requests import spec_for


def losses(context: RecordingContext) -> list[float]:
    return [value for name, value, _, label in context.metrics if name == "distill_loss" and not label]


def test_a_new_student_learns_and_loads(tiny_llama_dir: Path, context: RecordingContext) -> None:
    from transformers import AutoModelForCausalLM

    result = run(spec_for(tiny_llama_dir, steps=30), context)
    loaded: Any = AutoModelForCausalLM.from_pretrained(result.out, output_loading_info=True)
    model, loading = loaded
    assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.config.num_hidden_layers == 1
    metrics = result.metrics
    assert metrics.parameters_after == model.num_parameters()
    assert metrics.kl_mean is not None
    assert metrics.kl_untrained is not None
    assert metrics.kl_mean < metrics.kl_untrained
    assert [point.step for point in result.held_out] == [0, 10, 20, 30]
    assert result.held_out[-1].kl < result.held_out[0].kl
    assert metrics.best_step > 0
    assert not list(context.artifacts.glob(".*"))


def test_quality_is_that_of_transformers_on_the_written_files(tiny_llama_dir: Path, context: RecordingContext) -> None:
    from transformers import AutoModelForCausalLM

    from core.evaluate.compared import Evaluation
    from core.models.resolve import resolve

    spec = spec_for(tiny_llama_dir)
    result = run(spec, context)
    windows = Evaluation.prepare(resolve(str(tiny_llama_dir)), spec.text, spec.eval_tokens, spec.context).windows.tokens
    with torch.no_grad():
        teacher, student = (
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(windows).logits[:, :-1].double().log_softmax(-1)
            for folder in (tiny_llama_dir, result.out)
        )
    assert result.metrics.kl_mean == pytest.approx(float((teacher.exp() * (teacher - student)).sum(-1).mean()), rel=1e-4)
    for found, predictions in ((result.metrics.ppl_teacher, teacher), (result.metrics.ppl_after, student)):
        assert found == pytest.approx(float((-predictions.gather(2, windows[:, 1:, None]).mean()).exp()), rel=1e-5)


def test_held_out_figures_are_told_with_places_and_the_first_is_of_the_untrained(tiny_llama_dir: Path, context: RecordingContext) -> None:
    run(spec_for(tiny_llama_dir), context)
    found = [HeldOut.parse(data) for kind, data in context.details if kind == HeldOut.kind]
    assert [event.step for event in found if event] == [0, 2, 4, 6]
    first, *_, last = [event for event in found if event]
    assert last.kl < first.kl
    assert last.places
    assert [place.kl for place in last.places] == sorted((place.kl for place in last.places), reverse=True)
    assert all(event.kl_se > 0 and 0 <= event.top1 <= 1 for event in found if event)


def test_cross_entropy_alone_needs_no_teacher_in_the_loss(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, alpha=0), context)
    assert result.loss.keys() == {"cross_entropy"}
    assert result.objective == "cross-entropy"


def test_a_mixture_names_its_terms(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, alpha=0.7, temperature=2, divergence="reverse-kl"), context)
    assert result.loss.keys() == {"divergence", "cross_entropy"}


def narrower(folder: Path, into: Path) -> Path:
    from transformers import AutoConfig, AutoModelForCausalLM

    shutil.copytree(folder, into)
    config = AutoConfig.from_pretrained(folder)
    config.hidden_size, config.intermediate_size, config.head_dim = config.hidden_size // 2, config.intermediate_size // 2, config.head_dim // 2
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).bfloat16().save_pretrained(into)
    return into


@pytest.mark.parametrize("features", ["none", "hidden", "relations"])
def test_a_narrower_student_learns_through_projections_that_are_not_saved(
    features: str, tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext
) -> None:
    student = narrower(tiny_llama_dir, tmp_path / "narrow")
    result = run(spec_for(tiny_llama_dir, layers=None, student=str(student), features=features), context)
    assert result.metrics.best_step > 0
    before, after = (load_file(folder / "model.safetensors") for folder in (student, Path(result.out)))
    assert {name: tensor.shape for name, tensor in before.items()} == {name: tensor.shape for name, tensor in after.items()}


def test_the_teacher_as_its_own_student_has_nothing_to_learn(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, layers=None, student=str(tiny_llama_dir), steps=2), context)
    assert losses(context)[0] == 0
    assert result.metrics.best_step == 0
    assert result.metrics.kl_mean == 0
    assert any("no step was better" in note for note in result.notes)
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_llama_dir, Path(result.out)))
    assert all(torch.equal(before[name], after[name]) for name in before)


def pruned(folder: Path, into: Path) -> Path:
    shutil.copytree(folder, into)
    tensors = load_file(into / "model.safetensors")
    for name, tensor in tensors.items():
        if "mlp" in name:
            tensors[name] = tensor.masked_fill(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(1)) < 0.5, 0)
    save_file(tensors, into / "model.safetensors", metadata={"format": "pt"})
    return into


@pytest.mark.parametrize("alpha", [1.0, 0.0])
@pytest.mark.parametrize("features", ["hidden", "relations"])
def test_features_are_a_part_of_the_loss_and_lowered(
    features: str, alpha: float, tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext
) -> None:
    student = pruned(tiny_llama_dir, tmp_path / "pruned")
    changes = {"layers": None, "student": str(student), "learning_rate": 1e-4, "steps": 12}
    result = run(spec_for(tiny_llama_dir, features=features, alpha=alpha, feature_weight=1000, **changes), context)
    found = [value for name, value, _, label in context.metrics if name == "distill_loss" and label == "features"]
    assert len(found) == 12
    assert found[-1] < found[0]
    assert result.loss["features"] == found[-1]
    assert result.objective.endswith(f"+ 1000 {features}")


@pytest.mark.parametrize("hold", [True, False])
def test_zeros_of_a_pruned_student_are_held_where_asked(hold: bool, tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    student = pruned(tiny_llama_dir, tmp_path / "pruned")
    result = run(spec_for(tiny_llama_dir, layers=None, student=str(student), hold_zeros=hold, learning_rate=1e-5), context)
    before, after = (load_file(folder / "model.safetensors") for folder in (student, Path(result.out)))
    assert result.metrics.best_step > 0
    for name, tensor in before.items():
        if "mlp" in name:
            assert bool((after[name][tensor == 0] == 0).all()) == hold


@pytest.mark.parametrize("features", ["none", "hidden"])
@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_a_stopped_training_resumes_bit_for_bit(stop_at: int, features: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    def started(name: str, **changes: Any) -> RecordingContext:
        found = RecordingContext(tmp_path / name / "artifacts")
        found.artifacts.mkdir(parents=True, exist_ok=True)
        found.kept = tmp_path / name / "kept"
        for key, value in changes.items():
            setattr(found, key, value)
        return found

    spec = spec_for(tiny_llama_dir, features=features)
    whole = started("whole")
    expected = run(spec, whole)
    broken = started("parts", cancel_when=lambda seen: len(losses(seen)) >= stop_at)
    with pytest.raises(Cancelled):
        run(spec, broken)
    again = started("parts")
    result = run(spec, again)
    assert losses(broken) + losses(again) == losses(whole)
    one, other = (load_file(Path(found.out) / "model.safetensors") for found in (expected, result))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert result.held_out == expected.held_out


def test_a_training_that_is_asked_to_finish_keeps_and_measures_what_it_has(tiny_llama_dir: Path, tmp_path: Path) -> None:
    class Impatient(RecordingContext):
        def finish_asked(self) -> bool:
            return len(losses(self)) >= 3

    context = Impatient(tmp_path)
    result = run(spec_for(tiny_llama_dir), context)
    assert result.metrics.steps == 3
    assert [point.step for point in result.held_out] == [0, 2, 3]
    assert result.metrics.best_step == 3
    assert any("asked to finish" in note for note in result.notes)
    assert context.steps[-1][0] <= context.steps[-1][1]
    single = run(spec_for(tiny_llama_dir, eval_tokens=0), RecordingContext(tmp_path / "other"))
    assert single.metrics.steps == 6


def test_patience_ends_a_training_that_gains_nothing(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, steps=40, evaluations=20, patience=2, learning_rate=0.5, schedule="constant"), context)
    assert result.metrics.steps < 40
    assert any("without improvement" in note for note in result.notes) or result.metrics.best_step == 0


def test_a_text_too_short_for_a_step_is_refused(tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    text = tmp_path / "short.txt"
    text.write_text("one two three " * 5)
    with pytest.raises(RequestError, match="give a longer train-text"):
        run(spec_for(tiny_llama_dir, train_text=str(text)), context)


def test_a_student_with_another_tokenizer_is_refused(tiny_llama_dir: Path, context: RecordingContext) -> None:
    with pytest.raises(RequestError, match="different tokenizers"):
        run(spec_for(tiny_llama_dir, layers=None, student="bundled:draft"), context)


def test_the_readme_and_the_configuration_tell_what_was_made(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir), context)
    text = (Path(result.out) / "README.md").read_text()
    assert "distilled from" in text
    assert "gap in ln perplexity closed" in text or result.metrics.gap_closed is None
    assert json.loads((Path(result.out) / "config.json").read_text())["num_hidden_layers"] == 1
