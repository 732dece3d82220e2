"""What was asked, in a line: of every experiment, and of requests that this version cannot read."""

from __future__ import annotations

from typing import Any

import pytest

from core.runs.registry import CAPABILITIES, spec_class
from core.runs.state.saved import summary
from core.runs.state.store import Run
from tests.tui.fakes import write_run

REQUIRED = {"serve": {"engine": "runtime"}, "distill-data": {"model": "http://127.0.0.1:8000", "seeds": "tasks.jsonl"}}


@pytest.mark.parametrize(
    ("key", "values", "words"),
    [
        ("quantize", {"method": "rtn"}, "rtn 4 bit g128"),
        ("quantize-compare", {}, "comparison of methods"),
        ("evaluate", {}, ""),
        ("evaluate", {"context": 64}, "context 64"),
        ("kv-cache", {"schemes": ["kivi-4"]}, "cache scheme kivi-4"),
        ("kv-cache", {"schemes": ["kivi-4", "int8"]}, "2 cache schemes"),
        ("kv-cache-why", {}, "with and without a cache"),
        ("kv-cache-pages", {}, "pages of a decode"),
        ("kv-cache-pages", {"mode": "simulate"}, "simulation of a scheduler"),
        ("speculate", {"draft": "/models/small", "gamma": [2, 4], "temperature": [0, 0.8]}, "small, γ 2 4, T 0 0.8"),
        ("speculate-test", {"drafter": "lookup", "gamma": [4]}, "n-gram lookup, γ 4, T 0.8"),
        ("benchmark", {}, "8 requests at once, 128 tokens in, 64 out"),
    ],
)
def test_what_was_asked(key: str, values: dict[str, Any], words: str) -> None:
    assert summary(key, {"model": "bundled:base", **values}) == words


@pytest.mark.parametrize("key", CAPABILITIES)
def test_a_summary_is_one_line_and_does_not_name_the_model(key: str) -> None:
    told = spec_class(key).parse({"model": "bundled:base", **REQUIRED.get(key, {})}).summary()
    assert "\n" not in told
    assert "bundled:base" not in told


@pytest.mark.parametrize(
    ("key", "values", "words"),
    [
        ("quantize", {"method": "\x1b[31mnewest", "bits": 4}, "�[31mnewest"),
        ("quantize", {"method": "rtn", "bits": 99, "group_size": 64, "unheard": 1}, "rtn 99 bit g64"),
        ("speculate", {"drafter": "oracle", "gamma": [0]}, "oracle, γ 0, T 0"),
        ("speculate", {"gamma": 4}, ""),
        ("kv-cache", {"schemes": None}, ""),
        ("unheard", {"method": "rtn"}, ""),
    ],
)
def test_a_request_that_this_version_cannot_read_is_told_as_far_as_it_goes(key: str, values: dict[str, Any], words: str) -> None:
    run = Run(write_run(f"20260101-110000-{key}-0001", spec=values))
    assert run.summary == words
