"""What can be asked, and in which words the rest is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.benchmark.events import SecondEvent
from core.benchmark.spec import BenchmarkSpec
from core.errors import RequestError

EVENT = SecondEvent(
    t=1.5,
    scheduled=10,
    sent=4,
    done=3,
    failed=1,
    timed_out=0,
    running=2,
    tokens_per_second=55.5,
    requests_per_second=3.0,
    ttft_ms=12.0,
    e2el_ms=80.0,
    server_running=1.0,
    server_waiting=0.0,
    kv_usage=0.25,
    memory=4096,
)


def test_a_url_is_told_from_a_model() -> None:
    assert BenchmarkSpec(model="http://127.0.0.1:8000").engine_name == "openai"
    assert BenchmarkSpec(model="bundled:base").engine_name == "runtime"
    assert BenchmarkSpec(model="bundled:base", engine="vllm").engine_name == "vllm"


def test_every_field_stands_in_a_section() -> None:
    named = [name for _, names in BenchmarkSpec.sections for name in names]
    assert sorted(named) == sorted(BenchmarkSpec.model_fields)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"load": "trace"}, "needs a trace"),
        ({"load": "ramp"}, "give duration"),
        ({"shared_prefix": 128}, "leaves nothing"),
        ({"load": "sweep", "levels": (4, 2)}, "sort them"),
        ({"load": "sweep", "levels": "1, 2.5"}, "whole numbers"),
        ({"rate": 0}, "rate"),
        ({"key_env": "sk-not a name"}, "key-env"),
    ],
)
def test_what_does_not_fit_together_is_refused(values: dict[str, Any], word: str) -> None:
    with pytest.raises(RequestError, match=word):
        BenchmarkSpec.parse({"model": "bundled:base"} | values)


def test_lists_can_be_written_with_commas() -> None:
    spec = BenchmarkSpec.parse({"model": "m", "thresholds": "ttft.p95 < 500ms, throughput > 30", "levels": "1,2,4", "load": "sweep"})
    assert isinstance(spec, BenchmarkSpec)
    assert spec.thresholds == ("ttft.p95 < 500ms", "throughput > 30")
    assert spec.levels == (1.0, 2.0, 4.0)


def test_an_event_survives_its_data() -> None:
    assert SecondEvent.parse(EVENT.data()) == EVENT


@given(st.dictionaries(st.sampled_from(sorted(EVENT.data())), st.none() | st.text(max_size=3) | st.floats() | st.booleans() | st.integers()))
def test_whatever_else_comes_is_no_event_or_a_sound_one(data: dict[str, Any]) -> None:
    found = SecondEvent.parse(EVENT.data() | data)
    assert found is None or SecondEvent.parse(found.data()) == found
