"""A whole pruning: request to checkpoint, figures, and what transformers makes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.errors import Cancelled, RequestError
from core.prune.run import run
from tests.core.conftest import RecordingContext
from tests.core.prune.requests import spec_for

_LINEARS = 14


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in load_file(folder / "model.safetensors").items() if "_proj" in name}


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt", "alps"])
def test_the_written_model_has_the_zeros_and_its_figures_are_those_of_its_files(method: str, tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, method=method, sparsity=0.5), context)
    found = weights(Path(result.out))
    assert len(found) == _LINEARS
    for name, tensor in found.items():
        zeros = int((tensor == 0).sum())
        assert zeros == tensor.numel() // 2
        assert next(linear for linear in result.linears if f"{linear.name}.weight" == name).removed == zeros
    assert result.metrics.sparsity == 0.5
    assert result.metrics.parameters_after == result.metrics.parameters_before
    assert result.metrics.kl_mean is not None
    assert result.metrics.kl_mean > 0


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt", "alps"])
def test_two_of_four_are_kept_in_every_group(method: str, tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, method=method, keep="2:4"), context)
    for tensor in weights(Path(result.out)).values():
        assert bool(((tensor.view(-1, 4) == 0).sum(dim=1) >= 2).all())
    assert result.pattern == "keep 2 of 4"
    assert result.metrics.speedup_estimate == 2


def test_everything_else_stays_as_it_was(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir), context)
    before, after = load_file(tiny_llama_dir / "model.safetensors"), load_file(Path(result.out) / "model.safetensors")
    assert before.keys() == after.keys()
    for name in before.keys() - weights(tiny_llama_dir).keys():
        assert torch.equal(before[name], after[name])
    config = json.loads((Path(result.out) / "config.json").read_text())
    assert config == json.loads((tiny_llama_dir / "config.json").read_text())
    assert (Path(result.out) / "tokenizer.json").exists()


def test_perplexity_after_is_that_of_transformers(tiny_llama_dir: Path, context: RecordingContext) -> None:
    from transformers import AutoModelForCausalLM

    from core.evaluate.compared import Evaluation
    from core.models.resolve import resolve

    spec = spec_for(tiny_llama_dir, method="sparsegpt")
    result = run(spec, context)
    windows = Evaluation.prepare(resolve(str(tiny_llama_dir)), spec.text, spec.eval_tokens, spec.context).windows.tokens
    model = AutoModelForCausalLM.from_pretrained(result.out, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(windows).logits[:, :-1].double().log_softmax(-1)
    nll = -logits.gather(2, windows[:, 1:, None]).mean()
    assert result.metrics.ppl_after == pytest.approx(float(nll.exp()), rel=1e-5)


def test_one_threshold_for_all_linears_removes_the_smallest_of_the_model(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, method="magnitude", sparsity=0.37, scope="global", eval_tokens=0), context)
    before, after = weights(tiny_llama_dir), weights(Path(result.out))
    removed = torch.cat([before[name][after[name] == 0].abs().float().flatten() for name in before])
    kept = torch.cat([before[name][after[name] != 0].abs().float().flatten() for name in before])
    assert len(removed) == int(sum(tensor.numel() for tensor in before.values()) * 0.37)
    assert removed.max() <= kept.min()
    assert len({round(linear.sparsity, 6) for linear in result.linears}) > 1


def test_swaps_and_refit_lower_every_error(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, swaps=10, refit=True, eval_tokens=0), context)
    assert all(linear.error_before is not None and linear.error < linear.error_before for linear in result.linears)
    assert sum(linear.swaps or 0 for linear in result.linears) > 0
    assert result.metrics.sparsity == 0.5


def test_dense_inputs_give_other_masks_than_updated_ones(tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    found = [
        weights(Path(run(spec_for(tiny_llama_dir, within_block=kind, eval_tokens=0, out=str(tmp_path / kind)), context).out))
        for kind in ("updated", "dense")
    ]
    first, second = ({name: tensor == 0 for name, tensor in each.items()} for each in found)
    assert torch.equal(first["model.layers.0.self_attn.q_proj.weight"], second["model.layers.0.self_attn.q_proj.weight"])
    assert not torch.equal(first["model.layers.0.mlp.down_proj.weight"], second["model.layers.0.mlp.down_proj.weight"])


def test_speed_is_measured_in_turns_and_said_plainly(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, eval_tokens=0, speed_tokens=4), context)
    metrics = result.metrics
    assert metrics.tokens_per_second_before is not None
    assert metrics.tokens_per_second_after is not None
    assert metrics.decode_speedup is not None
    assert metrics.decode_speedup_se is not None
    assert f"x{metrics.decode_speedup:.2f}" in result.speed_note
    assert "no engine on a CPU is faster" in result.speed_note
    assert metrics.speedup_estimate is None


def test_events_name_each_linear_and_progress_reaches_its_end(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir), context)
    assert [label for name, _, _, label in context.metrics if name == "linear_error"] == [linear.name for linear in result.linears]
    done, totals = [step[0] for step in context.steps], {step[1] for step in context.steps}
    assert done == sorted(done)
    assert totals == {done[-1]}
    assert context.made == [(Path(result.out), "checkpoint")]


def test_a_stopped_run_resumes_to_the_same_bytes(tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    whole = run(spec_for(tiny_llama_dir, method="sparsegpt", swaps=3, out=str(tmp_path / "whole")), context)
    context.kept = tmp_path / "kept"
    spec = spec_for(tiny_llama_dir, method="sparsegpt", swaps=3, out=str(tmp_path / "stopped"))
    context.metrics.clear()
    context.cancel_when = lambda context: sum(name == "linear_error" for name, *_ in context.metrics) == 9
    with pytest.raises(Cancelled):
        run(spec, context)
    assert not (tmp_path / "stopped").exists()
    context.cancel_when = lambda _context: False
    resumed = run(spec, context)
    assert (tmp_path / "whole" / "model.safetensors").read_bytes() == (tmp_path / "stopped" / "model.safetensors").read_bytes()
    assert resumed.linears == whole.linears
    assert resumed.metrics.kl_mean == whole.metrics.kl_mean


def test_a_recovery_keeps_the_zeros_and_reports_both_sides(tiny_llama_dir: Path, context: RecordingContext) -> None:
    recovery = {"recover_steps": 12, "recover_tokens": 256, "recover_rate": 0.001}
    result = run(spec_for(tiny_llama_dir, method="magnitude", sparsity=0.9, **recovery), context)
    metrics = result.metrics
    assert metrics.kl_unrecovered is not None
    assert metrics.kl_mean is not None
    assert metrics.kl_mean < metrics.kl_unrecovered
    for tensor in weights(Path(result.out)).values():
        assert float((tensor == 0).float().mean()) >= 0.89
    assert [path.name for path in context.artifacts.iterdir()] == [Path(result.out).name]
    assert len([name for name, *_ in context.metrics if name == "recovery_loss"]) == 12
    assert any("recovered in 12 steps" in note for note in result.notes)


def test_a_recovery_that_makes_it_worse_leaves_the_model_as_it_was(tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    plain = run(spec_for(tiny_llama_dir, eval_tokens=0, out=str(tmp_path / "plain")), context)
    result = run(spec_for(tiny_llama_dir, recover_steps=2, recover_rate=1.0, recover_tokens=64, eval_tokens=0), context)
    assert (Path(plain.out) / "model.safetensors").read_bytes() == (Path(result.out) / "model.safetensors").read_bytes()
    assert any("did not lower" in note for note in result.notes)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"keep": "2:48"}, "keep 2:48 needs rows of a multiple of 48 weights, and mlp.down_proj"),
        ({"calibration_length": 100_000}, "is longer than the model's context"),
        ({"context": 100_000, "eval_tokens": 100_000}, "is longer than the model's context"),
        ({"out": "/dev/null/here"}, "cannot be"),
    ],
)
def test_what_does_not_fit_is_one_sentence_before_any_work(
    values: dict[str, object], sentence: str, tiny_llama_dir: Path, context: RecordingContext
) -> None:
    with pytest.raises(RequestError, match=sentence):
        run(spec_for(tiny_llama_dir, **values), context)
    assert context.steps == []


def test_a_quantized_checkpoint_is_refused(tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    folder = tmp_path / "quantized"
    shutil.copytree(tiny_llama_dir, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "gptq", "bits": 4}}))
    with pytest.raises(RequestError, match="already quantized"):
        run(spec_for(folder), context)


def test_a_model_without_a_layer_is_measured_to_the_end(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, method="layers", remove=1), context)
    done, totals = [step[0] for step in context.steps], {step[1] for step in context.steps}
    assert totals == {done[-1]}
    assert result.metrics.parameters_after < result.metrics.parameters_before
    assert result.description == "1 of its layers are cut out, chosen by greedy."
    assert json.loads((Path(result.out) / "config.json").read_text())["num_hidden_layers"] == 1


def test_cut_channels_are_described_with_what_makes_up_for_them(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, method="channels", sparsity=0.5, multiple_of=8), context)
    assert "50 % of the channels, the same number in every block, are cut out, chosen by obs; the next linear is refitted" in result.description
    done, totals = [step[0] for step in context.steps], {step[1] for step in context.steps}
    assert totals == {done[-1]}
    assert [kept.after * 2 for kept in result.kept] == [kept.before for kept in result.kept]
