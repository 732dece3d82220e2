"""A verification passes what is sound, and says of what is not which check it fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.errors import Cancelled
from core.formats.verify.checks import TITLES, CheckBook, CheckResult
from core.formats.verify.verify import Seen, look_at_folder
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.core.formats.test_opening import PROJECTION, SCHEMES, change_config, change_tensors, written
from tests.core.quantize.conftest import RecordingContext


@pytest.fixture
def context(tmp_path: Path) -> RecordingContext:
    return RecordingContext(tmp_path)


def looked_at(folder: Path) -> tuple[Seen, dict[str, CheckResult]]:
    book = CheckBook()
    seen = look_at_folder(folder, book, lambda name: None)
    return seen, {result.id: result for result in book.results()}


@pytest.mark.parametrize("name", SCHEMES)
def test_sound_checkpoints_pass_every_check(name: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    scheme, grid = SCHEMES[name]
    written(tiny_llama_dir, tmp_path / "q", scheme, grid)
    seen, results = looked_at(tmp_path / "q")
    assert {check: result.status for check, result in results.items() if result.status != "pass"} == {"perplexity": "skip"}
    assert list(results) == list(TITLES)
    assert (seen.format, seen.scheme, seen.linears) == (scheme.name, scheme.scheme, 14)
    assert seen.rounds_inputs == (name == "W8A8")
    assert seen.bits_per_quantized_weight == pytest.approx(grid.bits, abs=1.6)


def test_a_plain_folder_is_called_plain(tiny_llama_dir: Path) -> None:
    seen, results = looked_at(tiny_llama_dir)
    assert (seen.format, seen.linears, seen.bits_per_quantized_weight) == ("plain", 0, None)
    assert {result.status for result in results.values()} == {"pass", "skip"}


def flipped_groups(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.update({f"{PROJECTION}.g_idx": tensors[f"{PROJECTION}.g_idx"].flip(0)}))


CASES: dict[str, tuple[str, Callable[[Path], None], str, str, str]] = {
    "zero points of version 2": (
        "gptq",
        lambda folder: change_tensors(folder, lambda tensors: tensors[f"{PROJECTION}.qzeros"].add_(0x11111111)),
        "zero points",
        "fail",
        "checkpoint_format to gptq_v2",
    ),
    "groups out of order": ("gptq", flipped_groups, "groups", "fail", "desc_act"),
    "scales of zero": (
        "awq",
        lambda folder: change_tensors(folder, lambda tensors: tensors[f"{PROJECTION}.scales"][0].fill_(0)),
        "scales",
        "fail",
        "128 scales of 0",
    ),
    "negative scales": (
        "awq",
        lambda folder: change_tensors(folder, lambda tensors: tensors[f"{PROJECTION}.scales"].neg_()),
        "scales",
        "warn",
        "negative",
    ),
    "scales that are not finite": (
        "compressed-tensors",
        lambda folder: change_tensors(folder, lambda tensors: tensors[f"{PROJECTION}.weight_scale"].fill_(float("inf"))),
        "scales",
        "fail",
        "not a finite",
    ),
    "a norm that is not finite": (
        "gptq",
        lambda folder: change_tensors(folder, lambda tensors: tensors["model.norm.weight"].fill_(float("nan"))),
        "finite",
        "fail",
        "model.norm.weight",
    ),
    "a tensor that is missing": (
        "gptq",
        lambda folder: change_tensors(folder, lambda tensors: tensors.pop("model.norm.weight")),
        "names",
        "fail",
        "model.norm.weight",
    ),
    "a bias that no linear has": (
        "gptq",
        lambda folder: change_tensors(folder, lambda tensors: tensors.update({f"{PROJECTION}.bias": torch.ones(128)})),
        "names",
        "fail",
        f"{PROJECTION}.bias' in",
    ),
    "a tensor that nobody knows": (
        "gptq",
        lambda folder: change_tensors(folder, lambda tensors: tensors.update({"odd": torch.ones(1)})),
        "names",
        "warn",
        "odd is not part",
    ),
    "a linear that engines would look for": (
        "compressed-tensors",
        lambda folder: change_config(folder, lambda c: c | {"quantization_config": c["quantization_config"] | {"ignore": []}}),
        "left out",
        "fail",
        "lm_head is stored plain",
    ),
    "a linear that engines would not look for": (
        "awq",
        lambda folder: change_config(folder, lambda c: c | {"quantization_config": c["quantization_config"] | {"modules_to_not_convert": ["mlp"]}}),
        "left out",
        "fail",
        "excludes it",
    ),
    "another width": (
        "compressed-tensors",
        lambda folder: change_config(
            folder,
            lambda c: c | {"quantization_config": SCHEMES["W8A8"][0].config(["lm_head"])},
        ),
        "packing",
        "fail",
        "'model.layers.0.mlp.down_proj.weight' is missing",
    ),
    "a scheme that is not known": (
        "gptq",
        lambda folder: change_config(folder, lambda c: c | {"quantization_config": {"quant_method": "gptq", "bits": 7}}),
        "configuration",
        "fail",
        "7 bits",
    ),
    "no tokenizer": ("gptq", lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer", "fail", "tokenizer"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_fails_its_check(case: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    scheme, harm, check, status, words = CASES[case]
    written(tiny_llama_dir, tmp_path / "q", *SCHEMES[scheme])
    harm(tmp_path / "q")
    _, results = looked_at(tmp_path / "q")
    assert results[check].status == status, results
    assert words in results[check].found
    assert [other for other, result in results.items() if result.status == "fail"] == [check] * (status == "fail")


def test_a_bias_of_zeros_does_no_harm(tiny_llama_dir: Path, tmp_path: Path) -> None:
    """Older GPTQ tools wrote one for every linear."""
    written(tiny_llama_dir, tmp_path / "q", *SCHEMES["gptq"])
    change_tensors(tmp_path / "q", lambda tensors: tensors.update({f"{PROJECTION}.bias": torch.zeros(128, dtype=torch.float16)}))
    assert looked_at(tmp_path / "q")[1]["names"].status == "pass"


def test_only_the_first_complaints_are_told_and_all_are_counted() -> None:
    book = CheckBook()
    for index in range(9):
        book.complain("scales", f"linear {index}")
    result = next(result for result in book.results() if result.id == "scales")
    assert result.problems == 9
    assert result.found == "linear 0; linear 1; linear 2; and 6 more"
    assert book.failed


def test_it_stops_when_asked(tiny_llama_dir: Path) -> None:
    def stop(name: str) -> None:
        raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        look_at_folder(tiny_llama_dir, CheckBook(), stop)


SMALL = {"calibration_samples": 4, "calibration_length": 64}


@pytest.mark.parametrize(
    ("request_", "format_"),
    [
        ({"method": "rtn", "format": "gptq", "symmetric": False, "bits": 3, "group_size": 32}, "gptq"),
        ({"method": "gptq", "format": "gptq", "act_order": True, "static_groups": False, "group_size": 32} | SMALL, "gptq"),
        ({"method": "awq", "group_size": 32} | SMALL, "awq"),
        ({"method": "fp8"}, "compressed-tensors"),
        ({"method": "nf4"}, "bitsandbytes"),
        ({"method": "int8"}, "bitsandbytes"),
        pytest.param({"method": "additive"} | SMALL, "aqlm", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_what_we_write_passes_every_check(request_: dict[str, object], format_: str, tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(QuantizeSpec.parse({"model": str(tiny_llama_dir), "eval_tokens": 0} | request_), context)
    seen, results = looked_at(Path(result.out))
    assert {check: found for check, found in results.items() if found.status not in {"pass", "skip"}} == {}
    assert results["scales"].status == "pass"
    assert (seen.format, seen.scheme, seen.linears) == (format_, result.scheme, 14)
