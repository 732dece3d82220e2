"""Expressions out of a config match as everybody's do, and never take forever."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RequestError
from core.formats.patterns import NamePattern

NAMES = ["model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj", "lm_head", "model.layers.3.mlp.experts.7.up_proj"]


@pytest.mark.parametrize(
    "text",
    [
        r".*\.(?:q|k|v)_proj$",
        r"model\.layers\.(\d|1[01])\.mlp.*",
        r".*layers\.\d+\.mlp\.experts\.\d+\.up_proj",
        r"^lm_head$",
        r"model\.layers\.[0-9]{1,2}\..*down_proj",
        "lm_head",
        r"(?!.*lm_head).*proj",
    ],
)
def test_expressions_of_real_configs(text: str) -> None:
    assert [NamePattern(text).matches(name) for name in NAMES] == [re.match(text, name) is not None for name in NAMES]


@pytest.mark.parametrize("text", ["(a+)+$", "(a|a)*$", "(a*)*b", "(.*)(.*)(.*)(.*)(.*)x", r"(\w+\.)*x", "((a{1,100}){1,100})x", r"(a+)\1+(b+)\2+c"])
def test_expressions_that_could_take_forever_are_refused(text: str) -> None:
    with pytest.raises(RequestError, match="forever"):
        NamePattern(text)


@pytest.mark.parametrize("text", ["(", "[", "*", "a{2,1}", "(?P<x>a)(?P<x>b)", "\\"])
def test_what_is_no_expression_is_named(text: str) -> None:
    with pytest.raises(RequestError, match="not a regular expression"):
        NamePattern(text)


@settings(max_examples=200)
@given(text=st.text(alphabet="ab.*+?()|[]\\d{1,}^$", max_size=24))
def test_whatever_is_accepted_is_quick(text: str) -> None:
    try:
        pattern = NamePattern(text)
    except RequestError:
        return
    began = time.process_time()
    pattern.matches("ab." * 60)
    assert time.process_time() - began < 2
