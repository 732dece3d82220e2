"""Exceptions by name: the first pattern that matches counts, and tens of thousands of them are no burden."""

from __future__ import annotations

import re
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from core.formats.layouts.dynamic import Overrides

NAMES = [f"model.layers.{layer}.mlp.{name}_proj" for layer in (0, 1, 10, 11) for name in ("up", "down")] + ["lm_head"]
PATTERNS = [
    "model.layers.1",
    "model.layers.10.mlp.up_proj",
    "lm_head",
    r".*down_proj$",
    r"model\.layers\.(0|11)\..*",
    "model.layers.1.mlp",
    ".*",
    "nothing",
]


@settings(max_examples=200)
@given(patterns=st.lists(st.sampled_from(PATTERNS), unique=True, max_size=6))
def test_the_first_pattern_that_matches_counts(patterns: list[str]) -> None:
    overrides = Overrides.from_dynamic({f"+:{pattern}": {"bits": place} for place, pattern in enumerate(patterns)})
    for name in NAMES:
        expected = next((place for place, pattern in enumerate(patterns) if re.match(pattern, name)), None)
        assert overrides.of(name).get("bits") == expected


def test_an_entry_for_every_expert_of_a_large_model() -> None:
    names = [f"model.layers.{layer}.mlp.experts.{expert}.up_proj" for layer in range(60) for expert in range(250)]
    overrides = Overrides.from_extra({name: {"bits": 2 + place % 7} for place, name in enumerate(names)})
    began = time.process_time()
    assert [overrides.of(name)["bits"] for name in names] == [2 + place % 7 for place in range(len(names))]
    assert time.process_time() - began < 10
