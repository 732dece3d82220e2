"""A method is one object: what is said of it in one place is true everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from importlib import import_module
from pathlib import Path

import pytest
from safetensors.torch import load_file

from core.quantize.methods import METHODS
from core.quantize.methods.base import Method
from core.quantize.pipeline.solvers import solver_of
from core.quantize.plan.request import Request
from core.quantize.spec import QuantizeSpec
from core.spec import extra_of

ROOT = Path(__file__).parents[4]


def test_two_files_and_a_line_are_all_that_a_method_takes(tiny_llama_dir: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.core.quantize.methods.made_up_run", str(tiny_llama_dir), str(tmp_path)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["choices"] == found["options"] == [*METHODS, "even"]
    assert (found["asked"]["bits"], found["asked"]["group_size"], found["asked"]["format"]) == (5, 32, "compressed-tensors")
    assert found["refusal"] == "even has no grid of 3 bits"
    assert not found["calibrates"]
    assert (found["name"], found["recipe"]) == ("even-w5-g32", "even 5 bit g32")
    assert found["words"] == "5 bits by EVEN: symmetric integer grid, one scale per 32 adjacent weights of a row"
    assert found["fit"]["warnings"] == ["every second code of 2 blocks is lost"]
    assert "rounds to even codes: compressed-tensors\n" in found["help"]
    assert found["help"].endswith("llmopt quantize bundled:base --method even --bits 8")
    assert found["guide"] == f"even: rounds to even codes · enter lists all {len(METHODS) + 1} methods"
    result = found["result"]
    assert (result["method"], result["bits"], result["group_size"], result["format"]) == ("even", 5, 32, "compressed-tensors")
    assert Path(result["out"]).name == "tiny-llama-even-w5-g32"
    assert sum(layer["bytes"] for layer in result["layers"]) == sum(found["linear_bytes"])
    assert result["metrics"]["layer_error_mean"] > 0
    assert found["words"] in found["readme"]
    assert any("weight_packed" in name for name in load_file(Path(result["out"]) / "model.safetensors"))


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
def test_a_method_names_a_solver_and_fields_that_exist(method: Method) -> None:
    assert solver_of(method.name) is import_module(method.solver.partition(":")[0]).SOLVER
    assert {*method.fields, *method.unused, *method.defaults} <= set(QuantizeSpec.model_fields)
    with pytest.raises(FrozenInstanceError):
        method.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if "activation_scales" in method.fields])
def test_static_input_scales_are_from_calibration_text_and_its_fields_apply(method: str) -> None:
    asked = {"model": "m", "method": method, "bits": 8, "granularity": "channel", "activation_bits": 8, "activation_scales": "static"}
    spec = QuantizeSpec.model_validate(asked)
    assert spec.calibrates
    fields_of_text = dict(QuantizeSpec.sections)["calibration"]
    assert [name for name in fields_of_text if method not in extra_of(QuantizeSpec.model_fields[name]).applies["method"]] == []


def test_what_methods_look_at_is_part_of_the_spec() -> None:
    assert {field.name for field in fields(Request)} <= set(QuantizeSpec.model_fields)
