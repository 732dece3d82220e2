"""What was cut is written as GGUF by our converter and computed by llama.cpp as transformers computes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import RequestError
from core.formats.gguf.llama import process as llama_process
from core.formats.gguf.write.convert import convert, plan_conversion
from tests.core.conftest import RecordingContext
from tests.core.formats.gguf.models import make_model
from tests.core.prune.structure.models import load, logits, prune, spec_for, windows_of

pytestmark = pytest.mark.llama
TOKENS = list(range(4, 60))
CUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "channels": ("channels", {"sparsity": 0.5, "multiple_of": 32}),
    "groups": ("heads", {"remove": 1}),
    "queries": ("heads", {"remove": 1, "heads": "queries"}),
    "width": ("width", {"sparsity": 0.5, "multiple_of": 32}),
    "layers": ("layers", {"remove": 2}),
}


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3"])
@pytest.mark.parametrize("kind", CUTS)
def test_llama_cpp_computes_the_cut_model(kind: str, family: str, tmp_path: Path, context: RecordingContext) -> None:
    method, options = CUTS[kind]
    folder = make_model(tmp_path / "model", family, num_hidden_layers=5, dtype="float32")
    prune(spec_for(folder, method, **options), tmp_path / "cut", context, windows=windows_of(vocabulary=320))
    expected = logits(load(tmp_path / "cut"), torch.tensor([TOKENS]))[0]
    if family in {"qwen2", "phi3"} and method in {"heads", "width"}:
        with pytest.raises(RequestError, match="only with query heads as wide together as the hidden size"):
            convert(plan_conversion(tmp_path / "cut", "m"), tmp_path / "m.gguf", "F32")
        return
    convert(plan_conversion(tmp_path / "cut", "m"), tmp_path / "m.gguf", "F32")
    found = torch.tensor(llama_process.logits(tmp_path / "m.gguf", TOKENS))
    tolerance = 1e-3 if family.startswith("gemma") else 1e-4  # ggml looks GELU up in a table of half precision
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
