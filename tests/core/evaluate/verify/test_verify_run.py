"""`llmopt verify` from request to result."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.errors import RequestError
from core.evaluate.verify.result import VerifyResult
from core.evaluate.verify.run import run
from core.evaluate.verify.spec import VerifySpec
from core.formats.gguf.write.convert import convert, plan_conversion
from core.formats.layouts.awq import Awq
from core.numerics.grid import Grid
from core.runs import registry
from tests.core.evaluate.test_run import Recorder
from tests.core.formats.test_opening import change_tensors, written

BASE = Path(__file__).parents[4] / "core" / "models" / "bundled" / "base"


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """The bundled model with AWQ's tensors, rounded to nearest."""
    written(BASE, tmp_path / "q", Awq(128), Grid(4, False, "group", 128, scale_dtype=torch.float16))
    return tmp_path / "q"


def verified(folder: Path, recorder: Recorder | None = None, **values: object) -> VerifyResult:
    return run(VerifySpec(model=str(folder), **({"context": 128, "eval_tokens": 512} | values)), recorder or Recorder())


def test_a_sound_checkpoint_is_measured(quantized: Path) -> None:
    recorder = Recorder()
    result = verified(quantized, recorder)
    assert result.verified
    assert result.exit_code == 0
    assert {check.status for check in result.checks} == {"pass"}
    assert (result.format, result.scheme, result.linears) == ("awq", "gemm", 70)
    assert result.bits_per_quantized_weight == pytest.approx(4 + (16 + 4) / 128)
    assert result.ppl is not None
    assert 5 < result.ppl < 40
    assert result.evaluation is not None
    assert result.evaluation.context == 128
    assert all(done <= total for done, total, _ in recorder.steps)
    assert [done for done, _, _ in recorder.steps] == sorted(done for done, _, _ in recorder.steps)
    assert VerifyResult.model_validate_json(result.model_dump_json()) == result


def test_gibberish_falls_short(quantized: Path) -> None:
    """Every tensor is as the format wants it, and the codes of one kind of linear are upside down."""
    change_tensors(quantized, lambda tensors: [tensor.bitwise_not_() for name, tensor in tensors.items() if name.endswith("o_proj.qweight")])
    change_tensors(quantized, lambda tensors: [tensor.mul_(40) for name, tensor in tensors.items() if name.endswith("o_proj.scales")])
    result = verified(quantized)
    assert not result.verified
    assert result.exit_code == 3
    assert [check.id for check in result.checks if check.status == "fail"] == ["perplexity"]


def test_without_evaluation_only_the_tensors_are_looked_at(quantized: Path) -> None:
    result = verified(quantized, eval_tokens=0)
    assert result.verified
    assert result.ppl is None
    assert result.checks[-1].status == "skip"


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no config\.json"):
        verified(tmp_path)
    with pytest.raises(RequestError, match="do not fill one window"):
        VerifySpec.parse({"model": "m", "context": 512, "eval_tokens": 100})


def test_the_command_is_registered() -> None:
    assert registry.spec_class("verify") is VerifySpec
    assert registry.run_function("verify") is run


def test_a_gguf_file_is_looked_at_and_measured(tmp_path: Path) -> None:
    """Q8_0 by our own converter: its perplexity is the folder's within half a percent."""
    path = tmp_path / "base.gguf"
    convert(plan_conversion(BASE, "base"), path, "Q8_0")
    result = verified(path)
    assert {check.id: check.status for check in result.checks if check.status not in {"pass", "skip"}} == {}
    assert result.format == "gguf"
    assert result.scheme.startswith("Q8_0")
    plain = verified(BASE)
    assert result.ppl == pytest.approx(plain.ppl, rel=0.005)
    assert result.ppl != plain.ppl


def test_a_damaged_gguf_file_falls_short(tmp_path: Path) -> None:
    path = tmp_path / "base.gguf"
    convert(plan_conversion(BASE, "base"), path, "F16")
    data = bytearray(path.read_bytes())
    data[-64:] = b"\xff\x7f" * 32
    path.write_bytes(data)
    result = verified(path, eval_tokens=0)
    assert [check.id for check in result.checks if check.status == "fail"] == ["finite"]
    assert "NaN" in next(check.found for check in result.checks if check.id == "finite")
