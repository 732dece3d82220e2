"""GGUF files under `llmopt evaluate`: by us on dequantized weights, and by llama.cpp."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import RequestError
from core.evaluate.run import run
from core.evaluate.spec import EvaluateSpec
from core.formats.gguf.read.opening import companion_folder
from core.formats.gguf.read.weights import GgufWeights
from core.formats.gguf.write.convert import convert, plan_conversion
from core.models.load import load_tokenizer
from tests.core.formats.gguf.models import make_model
from tests.core.quantize.conftest import RecordingContext


def written(folder: Path, path: Path, level: str = "F32") -> Path:
    convert(plan_conversion(folder, "m"), path, level)
    return path


def request(model: Path, **fields: object) -> EvaluateSpec:
    return EvaluateSpec.model_validate({"model": str(model), "tokens": 640, "context": 64} | fields)


@pytest.mark.parametrize("streaming", ["on", "off"])
def test_a_file_is_measured_as_the_folder_it_was_made_of(streaming: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    path, context = written(tiny_llama_dir, tmp_path / "m.gguf"), RecordingContext(tmp_path)
    result = run(request(path, reference=str(tiny_llama_dir), streaming=streaming), context)
    assert result.kl_mean == pytest.approx(0, abs=1e-9)
    assert result.ppl_ratio == pytest.approx(1, abs=1e-6)


def test_llama_3_1_s_rotary_factors_are_taken_from_the_file(tmp_path: Path) -> None:
    rope = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    folder = make_model(tmp_path / "m", "llama", rope_parameters=rope | {"original_max_position_embeddings": 32})
    path = written(folder, tmp_path / "m.gguf")
    result = run(request(path, reference=str(folder)), RecordingContext(tmp_path))
    assert GgufWeights(path).rope_factors() is not None
    assert result.kl_mean == pytest.approx(0, abs=1e-7)


def test_the_tokenizer_comes_from_the_file(tiny_llama_dir: Path, tmp_path: Path) -> None:
    path = written(tiny_llama_dir, tmp_path / "m.gguf")
    assert load_tokenizer(companion_folder(path))("a b")["input_ids"] == load_tokenizer(tiny_llama_dir)("a b")["input_ids"]
    assert companion_folder(path) == companion_folder(path)


@pytest.mark.llama
def test_llama_cpp_measures_the_same(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", "qwen3")
    path = written(folder, tmp_path / "m.gguf")
    result = run(request(path, reference=str(folder), engine="llama.cpp"), RecordingContext(tmp_path))
    assert result.ppl_ratio == pytest.approx(1, abs=1e-4)
    assert result.evaluation.dtype == "float32, llama.cpp"


@pytest.mark.llama
def test_llama_cpp_takes_gguf_files_only(tiny_llama_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"llama\.cpp runs GGUF files, and .* is not one: create one with llmopt quantize --method gguf"):
        run(request(tiny_llama_dir, engine="llama.cpp"), RecordingContext(tmp_path))
