"""From a request to simulated figures: traces, the estimate of a step, and what is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from core.errors import RequestError
from core.hardware.plan.estimate import estimate
from core.hardware.plan.machine import NAMED, Machine
from core.kvcache.pages.check import check
from core.kvcache.pages.schedule.comparison import simulate
from core.kvcache.pages.schedule.events import ScheduleEvent
from core.kvcache.pages.schedule.roofline import TFLOPS, roofline_of
from core.kvcache.pages.schedule.traces import Arrival, trace_of
from core.kvcache.pages.spec import PagesSpec
from tests.core.conftest import RecordingContext
from tests.core.hardware.cards import card


def spec(**more: object) -> PagesSpec:
    found = PagesSpec.parse({"model": "x", "mode": "simulate", "arrivals": 40, "rate": 20.0, **more})
    assert isinstance(found, PagesSpec)
    return found


def test_poisson_arrivals_have_their_rate_and_their_spread() -> None:
    trace = trace_of(spec(arrivals=20_000, rate=50.0), 1_000_000)
    gaps = [second.time - first.time for first, second in pairwise(trace)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(1 / 50, rel=0.03)
    assert sum((gap - mean) ** 2 for gap in gaps) / len(gaps) == pytest.approx(mean**2, rel=0.08), "an exponential's variance is its mean squared"
    assert sum(arrival.prompt for arrival in trace) / len(trace) == pytest.approx(512, rel=0.03)
    assert sum(arrival.output for arrival in trace) / len(trace) == pytest.approx(256, rel=0.03)


def test_traces_come_again_with_the_seed_and_are_cut_to_the_context() -> None:
    assert trace_of(spec(), 4096) == trace_of(spec(), 4096)
    assert trace_of(spec(), 4096) != trace_of(spec(seed=1), 4096)
    assert all(arrival.prompt + arrival.output <= 100 for arrival in trace_of(spec(), 100))
    assert trace_of(spec(trace="fixed", arrivals=3), 4096) == [Arrival(0.0, 512, 256), Arrival(0.05, 512, 256), Arrival(0.1, 512, 256)]


def test_a_trace_is_read_from_a_file_in_order_of_arrival(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    rows = [{"arrival_s": 2, "prompt_tokens": 5, "output_tokens": 6, "user": "a"}, {"arrival_s": 0.5, "prompt_tokens": 7, "output_tokens": 8}]
    file.write_text("\n".join([json.dumps(rows[0]), "", json.dumps(rows[1])]))
    assert trace_of(spec(trace="file", trace_file=str(file)), 4) == [Arrival(0.5, 7, 8), Arrival(2.0, 5, 6)]


GOOD = '{"arrival_s": 1, "prompt_tokens": 2, "output_tokens": 3}'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (f"{GOOD}\n{{", "line 2 of .* is not JSON"),
        (f"{GOOD}\n\n[1]", "line 3 of .* is not a JSON object"),
        ('{"arrival_s": 1, "prompt_tokens": 2}', "line 1 of .* has no number output_tokens"),
        ('{"arrival_s": true, "prompt_tokens": 2, "output_tokens": 3}', "line 1 of .* has no number arrival_s"),
        ('{"arrival_s": -1, "prompt_tokens": 2, "output_tokens": 3}', "line 1 of .* give seconds from 0"),
        ('{"arrival_s": NaN, "prompt_tokens": 2, "output_tokens": 3}', "line 1 of .* give seconds from 0"),
        ('{"arrival_s": 1, "prompt_tokens": 0, "output_tokens": 3}', "line 1 of .* prompt_tokens = 0: give a whole number"),
        ('{"arrival_s": 1, "prompt_tokens": 2, "output_tokens": 2.5}', "output_tokens = 2.5: give a whole number"),
        ('{"arrival_s": 1, "prompt_tokens": 2, "output_tokens": NaN}', "output_tokens = nan: give a whole number"),
        ("\x1b[31m\xff", "line 1 of .* is not JSON"),
    ],
)
def test_a_damaged_trace_is_refused_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "trace.jsonl"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(RequestError, match=sentence):
        trace_of(spec(trace="file", trace_file=str(file)), 4096)


def test_a_missing_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot read the trace"):
        trace_of(spec(trace="file", trace_file=str(tmp_path / "none")), 4096)


def test_a_step_takes_the_longer_of_memory_and_arithmetic() -> None:
    line = roofline_of(spec(gpu="h100"), card("Llama-3-8B"))
    assert line.weight_bytes == 2 * card("Llama-3-8B").parameters
    assert line.seconds(1, 0) == pytest.approx(line.weight_bytes / 3350e9)
    assert line.seconds(1, 1_000_000) == pytest.approx((line.weight_bytes + 131_072 * 1_000_000) / 3350e9)
    assert line.seconds(8192, 8192) == pytest.approx(2 * card("Llama-3-8B").parameters * 8192 / 989e12)
    assert roofline_of(spec(gpu="h100", bandwidth=1000.0), card("Llama-3-8B")).seconds(1, 0) == pytest.approx(line.weight_bytes / 1e12)


def test_the_blocks_are_what_the_estimate_leaves() -> None:
    line = roofline_of(spec(gpu="h100", tensor_parallel=2, batch_tokens=2048, most_sequences=64), card("Llama-3-8B"))
    planned = estimate(card("Llama-3-8B"), Machine.here().with_gpus("h100", 2), context=32, concurrency=64, tensor_parallel=2)
    room = planned.left + planned.line("kv cache").bytes
    assert line.block_bytes == 16 * 131_072 // 2
    assert line.blocks == room // line.block_bytes
    assert line.weight_bytes == card("Llama-3-8B").parameters


def test_every_named_gpu_has_its_arithmetic() -> None:
    assert set(TFLOPS) == set(NAMED)


def test_a_simulation_says_that_it_is_one(context: RecordingContext) -> None:
    result = simulate(spec(gpu="4090", weights="w4a16", arrivals=30), card("Llama-3-8B"), context)
    assert result.label == "simulation"
    assert result.notes[0].startswith("simulation:")
    assert "estimates" in result.notes[0]
    assert any("uncertain" in note for note in result.notes)
    assert result.step is not None
    assert "2 x parameters x tokens" in result.step.how[0]
    first, second = result.rows
    assert (first.policy, second.policy) == ("continuous", "static")
    assert first.finished == second.finished == 30
    assert first.latency_mean_s <= first.latency_p95_s
    assert result.metrics.speedup is not None
    assert result.metrics.speedup > 1
    events = [ScheduleEvent.parse(data) for kind, data in context.details if kind == ScheduleEvent.kind]
    assert {event.policy for event in events if event is not None} == {"continuous", "static"}
    assert context.steps[-1][:2] == (60, 60)
    for series in result.series:
        assert len(series.x) == len(series.utilization) == len(series.waiting) <= 512
    assert result.model_validate(result.model_dump()) == result


@pytest.mark.parametrize(
    ("name", "more", "sentence"),
    [
        ("Llama-3-70B", {"gpu": "4090"}, "leaves no memory for a cache"),
        ("Llama-3-8B", {"gpu": "h1000"}, "unknown GPU"),
        ("Llama-3-8B", {"blocks": 10_000_000}, "blocks do not fit"),
        ("Llama-3-8B", {"context": 9000}, "more than the 8,192"),
        ("Llama-3-8B", {"tensor_parallel": 3}, "cannot be divided among"),
        ("Llama-3-8B", {"kv": "fp3"}, "unknown KV-cache format"),
        ("Phi-3-mini", {}, "use a sliding window of 2047 tokens"),
    ],
)
def test_what_cannot_be_simulated_is_refused(name: str, more: dict[str, object], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        check(spec(**more), card(name))


def test_a_trace_that_no_memory_holds_is_refused(tmp_path: Path, context: RecordingContext) -> None:
    file = tmp_path / "trace.jsonl"
    file.write_text('{"arrival_s": 0, "prompt_tokens": 9000, "output_tokens": 3}')
    with pytest.raises(RequestError, match="none of the 1 requests can be served"):
        simulate(spec(trace="file", trace_file=str(file)), card("Llama-3-8B"), context)


def test_a_model_whose_files_are_not_here_is_simulated_by_its_size(context: RecordingContext) -> None:
    result = simulate(spec(size="llama-3.1-8b", arrivals=3), card("TinyLlama-1.1B"), context)
    assert result.model == "llama-3.1-8b"
    assert result.step is not None
    assert result.step.kv_bytes_per_token == 131_072
    with pytest.raises(RequestError, match="unknown model gpt-9"):
        simulate(spec(size="gpt-9"), card("TinyLlama-1.1B"), context)
