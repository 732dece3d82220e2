"""A whole quantization: request to checkpoint, figures, and what transformers makes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import Cancelled, RequestError
from core.models.stream.streaming import StreamedModel
from core.quantize.pipeline.schemes import scheme_of
from core.quantize.pipeline.written import written_as
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.core.quantize.conftest import RecordingContext

SMALL = {"group_size": 32, "calibration_samples": 4, "calibration_length": 64, "context": 64, "eval_tokens": 512}


def spec_for(model: Path, **values: object) -> QuantizeSpec:
    return QuantizeSpec(model=str(model), **(SMALL | values))


def logits_of_transformers(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(tokens).logits


@pytest.mark.parametrize(
    "values",
    [
        {"method": "gptq"},
        {"method": "gptq", "act_order": True},
        {"method": "rtn"},
        {"method": "gptq", "bits": 3, "granularity": "channel"},
        {"method": "gptq", "bits": 8, "granularity": "channel", "activation_bits": 8},
        {"method": "rtn", "bits": 8, "granularity": "tensor", "clipping": "mse"},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")
def test_transformers_computes_what_was_evaluated(values: dict[str, object], tiny_llama_dir: Path, context: RecordingContext) -> None:
    spec = spec_for(tiny_llama_dir, **values)
    result = run(spec, context)
    tokens = torch.arange(2 * 40).view(2, 40)
    with StreamedModel.open(tiny_llama_dir, torch.float32) as original:
        quantized = written_as(Path(result.out), scheme_of(spec)).open(original)
        inputs = quantized.capture(tokens)
        hidden = inputs.hidden
        for index in range(quantized.n_blocks):
            hidden = quantized.run_block(quantized.load_block(index), hidden, index, inputs)
        ours = quantized.logits(hidden)
    torch.testing.assert_close(logits_of_transformers(Path(result.out), tokens), ours, rtol=1e-4, atol=1e-4)


def test_metrics_say_what_the_contract_asks_for(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir), context)
    metrics = result.model_dump()["metrics"]
    wanted = ["ppl_before", "ppl_after", "ppl_ratio", "kl_mean", "top1_agreement", "bytes_before", "bytes_after", "bits_per_weight", "seconds"]
    wanted += ["peak_rss_bytes"]
    assert all(metrics[name] is not None for name in wanted)
    assert metrics["ppl_ratio"] == pytest.approx(metrics["ppl_after"] / metrics["ppl_before"])
    assert metrics["kl_mean"] > 0
    assert metrics["bytes_after"] < metrics["bytes_before"]
    assert metrics["bits_per_quantized_weight"] == pytest.approx(4 + 16 / 32)
    assert {layer.bits for layer in result.layers} == {4}
    assert result.evaluation is not None
    assert result.evaluation.tokens_scored == 8 * 63
    assert json.loads(result.model_dump_json())["schema"] == "llmopt.quantize/1"


def test_events_tell_each_linear_and_progress_reaches_its_end(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir), context)
    layers = [label for name, _, _, label in context.metrics if name == "layer_error"]
    assert len(layers) == 14
    order = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    assert layers[:7] == [f"model.layers.0.{name}" for name in order]
    done, totals = [step[0] for step in context.steps], {step[1] for step in context.steps}
    assert done == sorted(done)
    assert totals == {done[-1]}
    assert context.made == [(Path(result.out), "checkpoint")]


def test_the_checkpoint_says_what_was_done(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir), context)
    folder = Path(result.out)
    readme = (folder / "README.md").read_text()
    assert "GPTQ" in readme
    assert f"{result.metrics.ppl_after:.4f}" in readme
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"} <= {file.name for file in folder.iterdir()}
    assert not list(folder.parent.glob("*.partial-*"))
    assert json.loads((folder / "config.json").read_text())["quantization_config"]["ignore"] == ["lm_head"]


def test_without_evaluation_figures_are_missing_not_zero(tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    result = run(spec_for(tiny_llama_dir, eval_tokens=0, method="rtn", out=str(tmp_path / "here")), context)
    assert result.metrics.ppl_after is None
    assert result.metrics.kl_mean is None
    assert result.error_of == "weights"
    assert (tmp_path / "here" / "config.json").exists()


def test_cancelling_leaves_nothing_behind(tiny_llama_dir: Path, context: RecordingContext) -> None:
    context.cancel_when = lambda context: sum(name == "layer_error" for name, *_ in context.metrics) == 9
    with pytest.raises(Cancelled):
        run(spec_for(tiny_llama_dir), context)
    assert list(context.artifacts.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"group_size": 48}, "does not divide the rows of"),
        ({"context": 4096, "eval_tokens": 4096}, "longer than the model's context"),
        ({"calibration_length": 4096}, "longer than the model's context"),
        ({"out": "/"}, "exists"),
    ],
)
def test_requests_that_cannot_be_are_refused_before_any_work(
    values: dict[str, object], sentence: str, tiny_llama_dir: Path, context: RecordingContext
) -> None:
    with pytest.raises(RequestError, match=sentence):
        run(spec_for(tiny_llama_dir, **values), context)
    assert context.steps == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_damaged_weight_in_the_last_block_is_named_before_any_work(
    value: float, tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path
) -> None:
    folder, name = tmp_path / "damaged", "model.layers.1.mlp.down_proj.weight"
    shutil.copytree(tiny_llama_dir, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors[name][3, 5] = value
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(RequestError, match=f"{name}.*holds (NaN|Inf)"):
        run(spec_for(folder), context)
    assert [entry for entry in context.metrics if entry[0] == "layer_error"] == []
    assert list(context.artifacts.iterdir()) == []


def test_a_quantized_checkpoint_is_refused(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, eval_tokens=0, method="rtn"), context)
    with pytest.raises(RequestError, match="already quantized"):
        run(spec_for(Path(result.out)), context)


def test_the_same_seed_gives_the_same_checkpoint(tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    first, second = (run(spec_for(tiny_llama_dir, eval_tokens=0, out=str(tmp_path / name)), context) for name in ("a", "b"))
    assert (Path(first.out) / "model.safetensors").read_bytes() == (Path(second.out) / "model.safetensors").read_bytes()
