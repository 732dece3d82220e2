"""`llmopt quantize --method gguf`, from the request to the folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader

from core.errors import Cancelled, RequestError, RunFailed
from core.formats.gguf.llama import process as llama_process
from core.formats.gguf.llama.process import quantize_file
from core.formats.gguf.read.reader import GgufFile
from core.formats.gguf.write.convert import convert, plan_conversion
from core.formats.gguf.write.imatrix import legacy_bytes, write_imatrix
from core.models.card import ModelCard
from core.models.stream.streaming import StreamedModel
from core.quantize.plan.levels import level_row
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from core.quantize.whole import gguf
from core.runs.steps import Steps
from tests.core.formats.gguf.models import make_model
from tests.core.quantize.conftest import RecordingContext


def request(folder: Path, out: Path, **fields: object) -> QuantizeSpec:
    defaults = {"eval_tokens": 512, "context": 64, "calibration_samples": 4, "calibration_length": 64}
    return QuantizeSpec.model_validate({"model": str(folder), "method": "gguf", "out": str(out)} | defaults | fields)


@pytest.mark.parametrize(("level", "ratio"), [("F32", 1e-6), ("Q8_0", 5e-3)])
def test_a_run_measures_what_the_file_holds(level: str, ratio: float, tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    result = run(request(tiny_llama_dir, tmp_path / "out", level=level), context)
    assert result.metrics.ppl_ratio == pytest.approx(1, abs=ratio)
    assert result.metrics.bytes_after == (tmp_path / "out" / "model.gguf").stat().st_size
    assert (result.bits, result.group_size) == ({"F32": 32, "Q8_0": 8}[level], {"F32": 1, "Q8_0": 32}[level])
    assert len(result.layers) == 14
    assert all(layer.error < ratio + 0.01 for layer in result.layers)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["README.md", "model.gguf"]
    assert f"{level}: " in result.notes[0]
    assert "were predicted, the result has" in result.notes[0]
    predicted, came = (float(word) for word in (result.notes[0].split()[1], result.notes[0].split("the result has ")[1].split()[0]))
    assert predicted == came


def test_nothing_is_left_when_it_is_cancelled(tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    context.cancel_when = lambda running: len(running.steps) > 3
    with pytest.raises(Cancelled):
        run(request(tiny_llama_dir, tmp_path / "out", level="Q8_0", eval_tokens=0), context)
    assert list(tmp_path.glob("out*")) == []


def test_k_quants_without_llama_cpp_are_refused_before_any_work(tiny_llama_dir: Path, tmp_path: Path, context, monkeypatch) -> None:
    monkeypatch.delenv(llama_process.PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(llama_process, "find_spec", lambda _: None)
    with pytest.raises(RequestError, match=r"level Q4_K_M needs llama\.cpp: install it .*, or choose level Q8_0, which does not need it"):
        run(request(tiny_llama_dir, tmp_path / "out", level="Q4_K_M"), context)


def test_a_family_without_a_row_is_refused_with_those_that_have_one(tmp_path: Path, context: RecordingContext) -> None:
    folder = make_model(tmp_path / "m", "olmo2", num_key_value_heads=4)
    with pytest.raises(RequestError, match="type 'olmo2' cannot be written as GGUF: choose one of llama, mistral"):
        run(request(folder, tmp_path / "out", level="Q8_0"), context)


def test_importance_is_the_mean_square_of_what_each_linear_is_given(tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    from transformers import AutoModelForCausalLM

    windows = torch.randint(2, 250, (3, 20), generator=torch.Generator().manual_seed(0))
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        found = gguf.importance_of(streamed, plan_conversion(tiny_llama_dir, "m"), windows, Steps(context, 1))
    model = AutoModelForCausalLM.from_pretrained(tiny_llama_dir, dtype=torch.float32)
    seen: dict[str, torch.Tensor] = {}
    names = {"self_attn.k_proj": "attn_k", "self_attn.o_proj": "attn_output", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    for block, layer in enumerate(model.model.layers):
        for name, target in names.items():
            layer.get_submodule(name).register_forward_pre_hook(
                lambda _module, inputs, key=f"blk.{block}.{target}.weight": seen.update({key: inputs[0].square().mean(dim=(0, 1))})
            )
    with torch.no_grad():
        model(windows)
    assert len(found) == 14
    for name, expected in seen.items():
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-6)


def test_the_importance_file_is_in_llama_cpp_s_form(tmp_path: Path) -> None:
    write_imatrix(tmp_path / "i.gguf", {"blk.0.attn_q.weight": torch.tensor([1.0, 4.0])}, "words", 3, 10)
    reader = GGUFReader(tmp_path / "i.gguf")
    held = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    assert held["blk.0.attn_q.weight.in_sum2"].tolist() == [[30.0, 120.0]]
    assert held["blk.0.attn_q.weight.counts"].tolist() == [[30.0]]
    assert reader.fields["imatrix.chunk_size"].contents() == 10
    assert reader.fields["general.type"].contents() == "imatrix"
    assert "general.architecture" not in reader.fields


@pytest.mark.llama
def test_k_quants_with_importance(tmp_path: Path, context: RecordingContext) -> None:
    folder = make_model(tmp_path / "m", "llama", hidden_size=256, intermediate_size=512, head_dim=64, num_hidden_layers=2, attention_bias=False)
    result = run(request(folder, tmp_path / "out", level="Q4_K_M", imatrix=True), context)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["README.md", "imatrix.gguf", "model.gguf"]
    assert result.scheme.startswith("Q4_K")
    assert result.metrics.ppl_ratio == pytest.approx(1, abs=0.1)
    assert result.metrics.bits_per_weight == pytest.approx(level_row(ModelCard.from_folder(folder), "Q4_K_M").bits_per_weight, rel=1e-6)
    assert not any("other types" in note for note in result.notes)


@pytest.mark.llama
@pytest.mark.parametrize(
    ("family", "sizes", "level"),
    [
        ("llama", {"hidden_size": 256, "intermediate_size": 512, "num_key_value_heads": 1, "head_dim": 64, "num_hidden_layers": 17}, "Q3_K_M"),
        ("phi3", {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 9}, "Q4_K_M"),
        ("gemma2", {"hidden_size": 256, "intermediate_size": 288, "num_hidden_layers": 9}, "IQ4_XS"),
        ("qwen2", {}, "Q2_K"),
    ],
)
def test_llama_cpp_chooses_the_types_that_were_foretold(family: str, sizes: dict[str, int], level: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", family, **sizes)  # type: ignore[arg-type]
    conversion = plan_conversion(folder, "m")
    convert(conversion, tmp_path / "plain.gguf", conversion.stored)
    quantize_file(tmp_path / "plain.gguf", tmp_path / "q.gguf", level)
    file, held = GgufFile(tmp_path / "q.gguf"), Counter[str]()
    for name in file.tensors:
        if len(file.shape(name)) > 1:
            held[file.block(name)] += file.tensors[name].numel
    row = level_row(ModelCard.from_folder(folder), level)
    assert dict(row.types) == dict(held)
    assert row.bytes == file.file_bytes


@pytest.mark.llama
def test_importance_changes_the_codes_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", "llama", hidden_size=256, intermediate_size=512, head_dim=64, num_hidden_layers=1, attention_bias=False)
    conversion = plan_conversion(folder, "m")
    convert(conversion, tmp_path / "plain.gguf", "BF16")
    name = "blk.0.ffn_up.weight"
    weights = {name: torch.rand(256, generator=torch.Generator().manual_seed(0)) ** 4}
    quantize_file(tmp_path / "plain.gguf", tmp_path / "a.gguf", "Q4_K_S")
    quantize_file(tmp_path / "plain.gguf", tmp_path / "b.gguf", "Q4_K_S", imatrix=legacy_bytes(weights))
    original = GgufFile(tmp_path / "plain.gguf").read(name)
    errors = [float((weights[name] * (GgufFile(tmp_path / file).read(name) - original).square()).sum()) for file in ("a.gguf", "b.gguf")]
    assert errors[1] < errors[0]
    with pytest.raises(RunFailed, match=r"could not quantize .* to Q4_K_S: imatrix size 100 is different from tensor size 256"):
        quantize_file(tmp_path / "plain.gguf", tmp_path / "c.gguf", "Q4_K_S", imatrix=legacy_bytes({name: torch.rand(100)}))


def test_importance_that_changes_nothing_is_refused(tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    with pytest.raises(RequestError, match="an importance matrix has no effect at level Q8_0"):
        run(request(tiny_llama_dir, tmp_path / "out", level="Q8_0", imatrix=True), context)


def test_a_run_that_was_stopped_finds_its_file_again(tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    run(request(tiny_llama_dir, tmp_path / "out", level="Q8_0", eval_tokens=0), context)
    again = gguf.written_file(tmp_path / "out")
    assert (again.format, again.scheme) == ("gguf", "Q8_0, F32")
    assert again.bytes == GgufFile(tmp_path / "out" / "model.gguf").file_bytes
