"""Every kind of pruned checkpoint, and a distilled one, loads in transformers, in vLLM, and in llama.cpp by our converter, to equal predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core import text
from core.distill.run import run as distill
from core.distill.spec import DistillSpec
from core.evaluate.encoding import encode
from core.models.stream.streaming import StreamedModel, load_tokenizer
from core.prune.methods import METHODS
from core.prune.run import run as prune
from core.prune.spec import PruneSpec
from core.quantize.run import run as quantize
from core.quantize.spec import QuantizeSpec
from tests.core.conftest import RecordingContext
from tests.peers import environments as peers

pytestmark = pytest.mark.engines

SMALL: dict[str, Any] = {"model": "bundled:base", "calibration_samples": 8, "calibration_length": 256, "eval_tokens": 0, "speed_tokens": 0}
KINDS: dict[str, dict[str, Any]] = {
    "unstructured": {"method": "wanda"},
    "2:4": {"method": "sparsegpt", "keep": "2:4"},
    "recovered": {"method": "magnitude", "recover_steps": 4, "recover_tokens": 256, "recover_rate": 1e-4},
    "channels": {"method": "channels", "sparsity": 0.5},
    "groups": {"method": "heads", "remove": 1},
    "queries": {"method": "heads", "heads": "queries", "remove": 1},
    "width": {"method": "width", "remove": 64},
    "layers": {"method": "layers", "remove": 2},
}


DISTILLED = "distilled"


@pytest.fixture(scope="module", params=[*(name for name, values in KINDS.items() if values["method"] in METHODS), DISTILLED])
def pruned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param.replace(":", "of"))
    if request.param == DISTILLED:
        spec = DistillSpec(model="bundled:base", layers=5, steps=2, tokens_per_step=256, length=128, held_out=2, evaluations=1, eval_tokens=0)
        return Path(distill(spec, RecordingContext(folder)).out)
    result = prune(PruneSpec.model_validate({**SMALL, **KINDS[request.param], "out": str(folder / "pruned")}), RecordingContext(folder))
    return Path(result.out)


@pytest.fixture(scope="module")
def windows(pruned: Path) -> Tensor:
    return encode(text.load("builtin"), load_tokenizer(pruned), 256).tokens.view(2, 128)


@torch.no_grad()
def ours(folder: Path, windows: Tensor) -> Tensor:
    with StreamedModel.open(folder, torch.float32) as model:
        inputs = model.capture(windows)
        hidden = inputs.hidden
        for index in range(model.n_blocks):
            hidden = model.run_block(model.load_block(index), hidden, index, inputs)
        return torch.log_softmax(model.logits(hidden), dim=-1)


def test_config_has_no_trace_of_sparsity(pruned: Path) -> None:
    config = json.loads((pruned / "config.json").read_text())
    assert not any("spars" in key for key in config)
    assert "quantization_config" not in config


def test_transformers_loads_every_tensor(pruned: Path, windows: Tensor) -> None:
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(pruned, dtype=torch.float32, output_loading_info=True)
    assert not loaded[1]["missing_keys"]
    assert not loaded[1]["unexpected_keys"]
    with torch.no_grad():
        theirs = torch.log_softmax(loaded[0](windows).logits, dim=-1)
    torch.testing.assert_close(theirs, ours(pruned, windows), rtol=1e-4, atol=1e-4)


def test_vllm_predicts_the_same(pruned: Path, windows: Tensor) -> None:
    if peers.missing(["vllm"]):
        pytest.skip(f"{peers.variable('vllm')} names no Python")
    mine, theirs = ours(pruned, windows)[:, :-1], peers.logits("vllm", pruned, windows)[:, :-1]
    assert float((mine.exp() * (mine - theirs)).sum(-1).mean()) < 1e-4


@pytest.mark.llama
def test_llama_cpp_predicts_the_same(pruned: Path, tmp_path: Path) -> None:
    spec = QuantizeSpec(model=str(pruned), method="gguf", level="F16", eval_tokens=512, context=128, out=str(tmp_path / "gguf"))
    result = quantize(spec, RecordingContext(tmp_path))
    assert result.metrics.kl_mean == pytest.approx(0, abs=1e-3)
    assert not any("than it was measured" in note for note in result.notes), result.notes
