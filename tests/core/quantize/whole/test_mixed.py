"""Mixed precision from measurement to checkpoint."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import Cancelled, RequestError, RunFailed
from core.models.card import ModelCard
from core.quantize.pipeline.inputs import calibration_arithmetic
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from core.quantize.whole import mixed
from core.quantize.whole.mixed import choose, probe_windows
from core.quantize.whole.sensitivity import Sensitivity
from core.runs.state import store
from core.runs.state.files import write_json
from tests.core.quantize.conftest import RecordingContext

SMALL: dict[str, Any] = {"group_size": 32, "calibration_samples": 4, "calibration_length": 64, "context": 64, "eval_tokens": 256}
SMALL |= {"calibration": __file__, "text": __file__, "method": "mixed"}


def quantized(model: Path, context: RecordingContext, **values: Any) -> Any:
    return run(QuantizeSpec(model=str(model), **SMALL | values), context)


def widths_of(folder: Path) -> dict[str, int]:
    groups = json.loads((folder / "config.json").read_text())["quantization_config"]["config_groups"]
    return {name: group["weights"]["num_bits"] for group in groups.values() for name in group["targets"]}


def sensitivity(linear: str, bits: int, kl: float, shares: str = "") -> Sensitivity:
    return Sensitivity(linear, shares or linear, bits, 100 * bits, 800, kl)


@pytest.mark.filterwarnings("ignore")
def test_the_budget_is_kept_and_transformers_computes_what_was_measured(tiny_llama_dir: Path, context: RecordingContext) -> None:
    from transformers import AutoModelForCausalLM

    from core.formats.layouts.compressed_tensors.mixed_widths import MixedWidths
    from core.models.stream.streaming import StreamedModel
    from core.quantize.pipeline.written import written_as

    result = quantized(tiny_llama_dir, context, budget=4.6)
    folder = Path(result.out)
    assert 4.3 < result.metrics.bits_per_quantized_weight <= 4.6
    widths = widths_of(folder)
    assert len(widths) == 14
    assert len(set(widths.values())) > 1
    readme = (folder / "README.md").read_text()
    assert all(f"{count} linears at {bits} bits" in readme for bits, count in Counter(widths.values()).items())
    assert f"{result.mixed.predicted_kl:.5f} nats per token" in readme
    told = {label: int(value) for name, value, _, label in context.metrics if name == "assigned_bits"}
    assert told == widths
    measured = [(label, step) for name, _, step, label in context.metrics if name == "sensitivity_kl"]
    assert len(measured) == 14 * 5
    assert context.steps[-1][0] == context.steps[-1][1]

    tokens = torch.arange(2 * 40).view(2, 40)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    scheme = MixedWidths.from_config(json.loads((folder / "config.json").read_text())["quantization_config"])
    with StreamedModel.open(tiny_llama_dir, torch.float32) as original:
        ours = written_as(folder, scheme).open(original)
        inputs = ours.capture(tokens)
        hidden = inputs.hidden
        for index in range(ours.n_blocks):
            hidden = ours.run_block(ours.load_block(index), hidden, index, inputs)
        logits = ours.logits(hidden)
    with torch.no_grad():
        torch.testing.assert_close(theirs(tokens).logits, logits, rtol=1e-4, atol=1e-4)


def test_a_goal_of_divergence_is_met_with_fewer_bits_where_it_is_laxer(tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    strict = quantized(tiny_llama_dir, context, max_kl=1e-6, out=str(tmp_path / "strict"))
    lax = quantized(tiny_llama_dir, context, max_kl=1e-4, out=str(tmp_path / "lax"))
    assert strict.metrics.bits_per_quantized_weight > lax.metrics.bits_per_quantized_weight
    assert strict.metrics.kl_mean < lax.metrics.kl_mean
    assert strict.mixed.measured_kl <= 1e-6
    assert 2e-5 < lax.mixed.measured_kl <= 1e-4


def test_limits_that_cannot_be_kept_are_refused(tiny_llama_dir: Path, context: RecordingContext) -> None:
    with pytest.raises(RunFailed, match=r"max-kl 1e-12"):
        quantized(tiny_llama_dir, context, max_kl=1e-12)


def test_models_whose_linears_load_with_one_width_only_are_refused(tmp_path: Path, tiny_llama_dir: Path, context: RecordingContext) -> None:
    from tests.core.quantize.test_families import FAMILIES, make

    make("falcon", FAMILIES["falcon"], tiny_llama_dir, tmp_path / "falcon")
    with pytest.raises(RequestError, match=r"FalconLinear.*choose gptq"):
        quantized(tmp_path / "falcon", context)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2", "gemma2", "phi3", "gpt_neox", "opt"])
@pytest.mark.filterwarnings("ignore")
def test_transformers_loads_several_widths_of_any_family(family: str, tmp_path: Path, tiny_llama_dir: Path, context: RecordingContext) -> None:
    from transformers import AutoModelForCausalLM

    from core.formats.registry import read_format
    from core.formats.weights import QuantizedWeights
    from tests.core.quantize.test_families import FAMILIES, make

    make(family, FAMILIES[family], tiny_llama_dir, tmp_path / family)
    asked = SMALL | {"widths": (3, 8), "budget": 5.5, "calibration_length": 48, "context": 48}
    result = run(QuantizeSpec(model=str(tmp_path / family), **asked), context)
    folder = Path(result.out)
    assert set(result.mixed.widths.values()) == {3, 8}
    assert {layer.name: layer.bits for layer in result.layers} == result.mixed.widths
    ours = QuantizedWeights(folder, read_format(json.loads((folder / "config.json").read_text())["quantization_config"], folder))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        model(torch.arange(8)[None])  # unpacks the weights
    for name in ours.linears:
        torch.testing.assert_close(model.get_parameter(f"{name}.weight").data, ours[f"{name}.weight"], rtol=1e-3, atol=1e-4)


def test_a_run_that_was_stopped_while_it_measured_goes_on_measuring(
    tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixed, "_room", lambda *_: 1)

    def stop(context: RecordingContext) -> bool:
        return sum(name == "sensitivity_kl" for name, *_ in context.metrics) == 44

    asked = SMALL | {"eval_tokens": 0}
    whole = run(QuantizeSpec(model=str(tiny_llama_dir), **asked, out=str(tmp_path / "whole")), context)
    context.metrics.clear()
    context.kept = tmp_path / "kept"
    context.cancel_when = stop
    with pytest.raises(Cancelled):
        run(QuantizeSpec(model=str(tiny_llama_dir), **asked, out=str(tmp_path / "resumed")), context)
    context.cancel_when = lambda _context: False
    context.steps.clear()
    resumed = run(QuantizeSpec(model=str(tiny_llama_dir), **asked, out=str(tmp_path / "resumed")), context)
    assert resumed.mixed.sensitivities == whole.mixed.sensitivities
    assert (tmp_path / "resumed" / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert sum("measuring" in label for _, _, label in context.steps) < 70 - 35
    assert context.steps[-1][0] == context.steps[-1][1]


def test_a_stopped_run_does_not_measure_again(tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    whole = quantized(tiny_llama_dir, context, out=str(tmp_path / "whole"))
    context.metrics.clear()
    context.kept = tmp_path / "kept"
    context.cancel_when = lambda context: sum(name == "layer_error" for name, *_ in context.metrics) == 9
    with pytest.raises(Cancelled):
        quantized(tiny_llama_dir, context, out=str(tmp_path / "resumed"))
    context.metrics.clear()
    context.cancel_when = lambda _context: False
    resumed = quantized(tiny_llama_dir, context, out=str(tmp_path / "resumed"))
    assert not any(name == "sensitivity_kl" for name, *_ in context.metrics)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "resumed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert resumed.layers == whole.layers
    assert resumed.mixed == whole.mixed
    assert context.steps[-1][0] == context.steps[-1][1]


def test_a_second_budget_uses_the_measurements_of_the_first(tiny_llama_dir: Path, context: RecordingContext) -> None:
    first = QuantizeSpec(model=str(tiny_llama_dir), **SMALL, budget=4.6)
    done = store.create(first)
    result = run(first, context)
    write_json(done.path / "result.json", result.model_dump(mode="json"))
    shutil.rmtree(result.out)

    def measurements(**values: Any) -> int:
        context.metrics.clear()
        context.lines.clear()
        shutil.rmtree(quantized(tiny_llama_dir, context, **values).out)
        told = sum(name == "sensitivity_kl" for name, *_ in context.metrics)
        assert context.steps[-1][0] == context.steps[-1][1]
        return 0 if any(f"measured by run {done.id} under" in line for line in context.lines) else told

    assert measurements(budget=3.5) == 0
    assert measurements(widths=(3, 4, 8)) == 0
    assert measurements(widths=(3, 5), budget=4.6) == 14 * 2
    assert measurements(widths=(3, 4), group_size=16, budget=4.6) == 14 * 2


def test_linears_of_one_input_share_a_width_where_engines_run_them_as_one() -> None:
    found = [sensitivity(name, bits, kl, "q") for name, scale in (("q", 1.0), ("k", 9.0)) for bits, kl in ((4, 0.1 * scale), (8, 0.001))]
    found += [sensitivity("o", 4, 0.2), sensitivity("o", 8, 0.001)]
    apart, _ = choose(found, budget=8 * 1600 / 2400)
    assert apart == {"q": 4, "k": 8, "o": 4}
    together, _ = choose(found, budget=8 * 2000 / 2400, fused=True)
    assert together == {"q": 8, "k": 8, "o": 4}


def test_small_divergences_are_measured_in_float32_also_where_models_compute_in_bfloat16(tiny_llama_dir: Path) -> None:
    card = ModelCard.from_folder(tiny_llama_dir)
    assert card.dtype == "bfloat16"
    assert calibration_arithmetic(QuantizeSpec(model="m", method="mixed"), card, "cuda:0") == torch.float32
    assert calibration_arithmetic(QuantizeSpec(model="m", method="awq"), card, "cuda:0") == torch.bfloat16


def test_divergences_are_measured_on_windows_that_did_not_calibrate(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = torch.arange(30 * 300).view(30, 300)
    calibrating, probing = probe_windows(windows)
    assert probing.shape == (8, 256)
    assert len(calibrating) == 22
    assert not set(calibrating.flatten().tolist()) & set(probing.flatten().tolist())
    few = windows[:5]
    calibrating, probing = probe_windows(few)
    assert calibrating is few
    assert probing.shape == (5, 256)
    assert mixed.recalled(None) is None
