"""Requests that cannot be carried out are refused before any model is read, with one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import RequestError
from core.models.resolve import resolve
from core.speculate.check import check
from core.speculate.lossless.check import check as check_test
from core.speculate.lossless.spec import SpeculateTestSpec
from core.speculate.spec import SpeculateSpec

BASE = {"model": "bundled:base"}


def judged(memory: int | None = None, **values: Any) -> Any:
    spec = SpeculateSpec.parse(BASE | values)
    return check(spec, resolve(spec.model).card(), memory)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"gamma": (0,)}, "gamma must be between 1 and 64, got 0"),
        ({"gamma": (4, 4)}, "twice"),
        ({"gamma": (65,)}, "gamma must be between 1 and 64, got 65"),
        ({"temperature": (-0.5,)}, "got -0.5"),
        ({"temperature": (float("nan"),)}, "got nan"),
        ({"prompt": ""}, "empty"),
        ({"model": "somewhere/else"}, "needs a draft model"),
        ({"drafter": "lookup", "ngram_min": 5, "ngram_max": 3}, "ngram-min 5"),
        ({"drafter": "layers", "keep_layers": 3, "skip_layers": (1,)}, "one of them"),
        ({"drafter": "layers", "skip_layers": (1, 1)}, "distinct"),
        ({"acceptance": "typical"}, "needs Medusa"),
        ({"drafter": "medusa", "batch": 2}, "batch must be 1, got 2"),
        ({"tokens": 0}, "tokens"),
        ({"top_p": 0}, "top-p"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        SpeculateSpec.parse(BASE | values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"prompt_tokens": 1024}, "leaves no room in the 1024 positions"),
        ({"prompt_tokens": 900, "tokens": 200}, "do not fit the 1024 positions"),
        ({"batch": 8, "prompts": 8, "prompt_tokens": 128, "tokens": 256}, "leave holes"),
        ({"drafter": "layers", "keep_layers": 10}, "the target itself"),
        ({"drafter": "layers", "skip_layers": (10,)}, "blocks 0 to 9"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        judged(**values)


def test_a_batch_that_does_not_fit_the_memory_is_refused_before_anything_is_allocated() -> None:
    with pytest.raises(RequestError, match=r"a batch of 64 .* GiB, and 0.5 GiB of memory are free"):
        judged(2**29, batch=64, prompts=64, prompt_tokens=64, tokens=64)
    assert judged(2**33, batch=64, prompts=64, prompt_tokens=64, tokens=64).peak_memory_bytes > 2**29


def test_a_draft_larger_than_its_target_is_warned_of_with_the_slowdown() -> None:
    found = judged(model="bundled:draft", draft="bundled:base", gamma=(4,))
    assert found.cost_ratio > 3
    assert "even with every draft accepted it would be 0.3" in found.warnings[0]
    assert found.predicted_speedup < 1


def test_a_draft_that_is_too_dear_is_warned_of() -> None:
    found = judged(drafter="layers", keep_layers=9, gamma=(8,))
    assert "slowdown" in found.warnings[0]
    assert judged().warnings == ()


def test_a_draft_of_another_vocabulary_is_refused_with_the_reason(tiny_llama_dir: Path) -> None:
    with pytest.raises(RequestError, match="vocabularies differ: bundled:base has 4096 tokens"):
        judged(draft=str(tiny_llama_dir))


def test_the_same_number_of_other_words_is_refused_too(tiny_llama_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_llama_dir, other)
    content = json.loads((other / "tokenizer.json").read_text())
    words = content["model"]["vocab"]
    first, second = list(words)[5:7]
    words[first], words[second] = words[second], words[first]
    (other / "tokenizer.json").write_text(json.dumps(content))
    spec = SpeculateSpec.parse({"model": str(tiny_llama_dir), "draft": str(other), "prompt_tokens": 16, "tokens": 16})
    with pytest.raises(RequestError, match="another word in each"):
        check(spec, resolve(spec.model).card())
    assert check(spec.model_copy(update={"draft": str(tiny_llama_dir)}), resolve(spec.model).card()).cost_ratio == 1.0


def test_a_test_is_judged_alike() -> None:
    spec = SpeculateTestSpec.parse(BASE | {"prompt_tokens": 1020, "tokens": 64})
    with pytest.raises(RequestError, match="do not fit"):
        check_test(spec, resolve(spec.model).card())
    with pytest.raises(RequestError, match="temperature"):
        SpeculateTestSpec.parse(BASE | {"temperature": 0})


def test_the_bundled_pair_knows_each_other_and_forms_can_be_built() -> None:
    assert SpeculateSpec.parse(BASE).draft == "bundled:draft"
    assert SpeculateSpec.parse(BASE | {"drafter": "lookup"}).draft is None
    for spec in (SpeculateSpec, SpeculateTestSpec):
        listed = [name for _, names in spec.sections for name in names]
        assert sorted(listed) == sorted(spec.model_fields)
