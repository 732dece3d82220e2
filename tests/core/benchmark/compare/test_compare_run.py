"""Several targets under one load: servers of known times, so that the best is known, and targets that cannot be measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from core.benchmark.compare.check import check
from core.benchmark.compare.recommend import recommend
from core.benchmark.compare.result import BenchmarkCompareResult
from core.benchmark.compare.run import run
from core.benchmark.compare.spec import GGUF, PLAIN, BenchmarkCompareSpec, CompareTarget
from core.benchmark.compare.sub_context import SubContext
from core.benchmark.documents import load_result, parse_result
from core.benchmark.result import BenchmarkEntry, Quality, RequestCounts, ServerReport
from core.benchmark.run import run as benchmark
from core.benchmark.spec import BenchmarkSpec
from core.engine import Missing
from core.errors import Cancelled, RequestError, RunFailed
from core.models.resolve import resolve
from core.runs.launch.admission import admit
from core.runs.state.files import write_json
from tests.core.benchmark.making import entry, samples
from tests.core.conftest import RecordingContext

MODEL = "bundled:base"


@contextmanager
def server(first_ms: float, rate: float) -> Iterator[str]:
    command = [sys.executable, "-m", "core.benchmark.calibrate.server", "0", str(first_ms), str(rate)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def urls() -> Iterator[tuple[str, str]]:
    with ExitStack() as stack:
        yield stack.enter_context(server(20.0, 200.0)), stack.enter_context(server(90.0, 100.0))


def spec_of(**values: Any) -> BenchmarkCompareSpec:
    usual = {"model": MODEL, "requests": 24, "concurrency": 8, "output_tokens": 8, "input_tokens": 16, "warmup": 1}
    spec = BenchmarkCompareSpec.parse(usual | values)
    assert isinstance(spec, BenchmarkCompareSpec)
    return spec


def test_the_faster_server_is_recommended_and_what_cannot_be_reached_is_a_row(context: RecordingContext, urls: tuple[str, str]) -> None:
    fast, slow = urls
    targets = (f"slow=openai:{slow}", f"fast=openai:{fast}", "gone=openai:http://127.0.0.1:9")
    spec = spec_of(targets=targets, not_made=("llama.cpp: it is missing, install it",), thresholds=("ttft.p50 < 80ms",), objectives=("ttft < 5s",))
    admit(spec)
    result = run(spec, context)
    assert [each.name for each in result.entries] == ["slow", "fast"]
    assert set(result.samples) == {"slow", "fast"}
    assert [each.target for each in result.left_out] == ["llama.cpp", "gone"]
    assert result.left_out[0].reason == "it is missing, install it"
    assert "no answer from" in result.left_out[1].reason
    found = {each.goal: each for each in result.recommendations}
    assert set(found) == {"throughput", "latency", "memory"}
    for each in (found["throughput"], found["latency"]):
        assert (each.name, each.runner_up, each.beyond_noise) == ("fast", "slow", True)
        assert each.margin is not None
        assert each.margin > 1.3
    assert [(held.expression, held.passed) for held in result.thresholds] == [("slow: ttft.p50 < 80ms", False), ("fast: ttft.p50 < 80ms", True)]
    assert result.exit_code == 3
    assert result.load == "8 requests at once, 16 tokens in, 8 out"
    assert not any("estimates" in warning for each in result.entries for warning in each.warnings)
    done = [done for done, _, _ in context.steps]
    assert done == sorted(done)
    assert {total for _, total, _ in context.steps} == {3000}
    document = json.loads(result.model_dump_json())
    assert parse_result(document, "x") == result


def test_all_targets_are_asked_the_same(context: RecordingContext, urls: tuple[str, str]) -> None:
    run(spec_of(targets=(f"a=openai:{urls[0]}",), requests=4), context)
    lines = [json.loads(line) for line in (context.artifacts / "prompts.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    assert len({line["prompt"] for line in lines}) == 4
    tokenizer = Tokenizer.from_file(str(resolve(MODEL).path / "tokenizer.json"))
    assert all(abs(len(tokenizer.encode(line["prompt"], add_special_tokens=False).ids) - 16) <= 2 for line in lines)


def test_a_slower_result_falls_short_of_the_baseline(context: RecordingContext, urls: tuple[str, str], tmp_path: Path) -> None:
    fast, slow = urls
    before = run(spec_of(targets=(f"it=openai:{fast}",)), context)
    file = tmp_path / "before.json"
    write_json(file, before.model_dump(mode="json"))
    after = run(spec_of(targets=(f"it=openai:{slow}",), baseline=str(file)), context)
    assert after.exit_code == 3
    failed = [held.expression for held in after.thresholds if held.passed is False]
    assert "ttft.p50 no worse than the baseline" in failed
    again = run(spec_of(targets=(f"it=openai:{fast}",), baseline=str(file), requests=8), context)
    assert not any(held.passed is False and "p95" in held.expression for held in again.thresholds)


def test_a_benchmark_falls_short_of_its_baseline(context: RecordingContext, urls: tuple[str, str], tmp_path: Path) -> None:
    fast, slow = (BenchmarkSpec(model=url, requests=24, output_tokens=8, input_tokens=16, warmup=0) for url in urls)
    file = tmp_path / "before.json"
    write_json(file, benchmark(fast, context).model_dump(mode="json"))
    after = benchmark(slow.model_copy(update={"baseline": str(file)}), context)
    assert after.exit_code == 3
    assert any("worse, beyond noise" in held.words for held in after.thresholds if held.passed is False)
    assert benchmark(slow, context).exit_code == 0


def test_a_comparison_that_is_cancelled_keeps_what_it_has(context: RecordingContext, urls: tuple[str, str]) -> None:
    spec = spec_of(targets=(f"a=openai:{urls[0]}", f"b=openai:{urls[1]}"), requests=4, warmup=0)
    context.cancel_when = lambda held: any(label.startswith("b: ") for _, _, label in held.steps)
    with pytest.raises(Cancelled) as stopped:
        run(spec, context)
    kept = stopped.value.result
    assert isinstance(kept, BenchmarkCompareResult)
    assert [each.name for each in kept.entries] == ["a"]
    assert kept.stopped == "stopped by the user at target 2 of 2, b"
    assert load_result(str(context.artifacts / "so-far.json")).entries == kept.entries, "for one that is killed"


def test_nothing_to_measure_is_a_failure(context: RecordingContext) -> None:
    with pytest.raises(RunFailed, match=r"no target could be measured: gone: no answer from"):
        run(spec_of(targets=("gone=openai:http://127.0.0.1:9",)), context)


def test_a_missing_engine_is_a_row(context: RecordingContext, urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.transformers.Transformers.find", lambda _self: Missing("it is not installed: install it"))
    result = run(spec_of(targets=("transformers", f"a=openai:{urls[0]}"), requests=4), context)
    assert [(each.target, each.reason) for each in result.left_out] == [("transformers", "it is not installed: install it")]


@pytest.mark.parametrize(
    ("text", "label", "engine", "model"),
    [
        ("runtime", "runtime", "runtime", MODEL),
        ("runtime:/tmp/a:b", "runtime a:b", "runtime", "/tmp/a:b"),
        ("INT8=runtime:/tmp/x", "INT8", "runtime", "/tmp/x"),
        ("llama-cpp:/tmp/q4/model.gguf", "llama-cpp q4", "llama-cpp", "/tmp/q4/model.gguf"),
        ("openai:http://127.0.0.1:1", "openai http://127.0.0.1:1", "openai", "http://127.0.0.1:1"),
        ("runtime:bundled:draft", "runtime bundled:draft", "runtime", "bundled:draft"),
    ],
)
def test_targets_are_taken_apart(text: str, label: str, engine: str, model: str) -> None:
    assert CompareTarget.parse(text, MODEL) == CompareTarget(label, engine, model)


def test_defaults_fit_the_model() -> None:
    assert [target.engine for target in spec_of().chosen] == list(PLAIN)
    assert [target.engine for target in spec_of(model="x.gguf").chosen] == list(GGUF)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"targets": ("runtime", "runtime")}, "two targets are named runtime"),
        ({"targets": ("runtime:",)}, "is not a valid target"),
        ({"targets": ("",)}, "is not a valid target"),
        ({"engine": "runtime"}, "name engines in targets"),
        ({"served_model": "x"}, "name engines in targets"),
    ],
)
def test_what_is_no_comparison_is_refused(values: dict[str, Any], word: str) -> None:
    with pytest.raises(RequestError, match=word):
        spec_of(**values)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"targets": ("nobody",)}, "nobody: unknown engine"),
        ({"targets": ("runtime:/does/not/exist",)}, "no such path"),
        ({"targets": ("openai",)}, "give the address"),
        ({"thresholds": ("fast",)}, "cannot be read"),
        ({"baseline": "none.json"}, "is not a file"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_starts(values: dict[str, Any], word: str) -> None:
    with pytest.raises(RequestError, match=word):
        check(spec_of(**values), resolve(MODEL).card())


def candidate(name: str, seed: int, factor: float, **more: Any) -> BenchmarkEntry:
    return entry(samples(seed, factor=factor), name, throughput_tokens_per_second=400 / factor, **more)


def test_recommendations_name_margin_and_noise() -> None:
    entries = [
        candidate("a", 1, 1.0, server=ServerReport(host_bytes=300), quality=Quality(ppl=8.0)),
        candidate("b", 2, 2.0, server=ServerReport(host_bytes=100), quality=Quality(ppl=8.0)),
        candidate("c", 3, 1.01, server=ServerReport(host_bytes=200)),
    ]
    held = {each.name: samples(seed, factor=factor) for each, seed, factor in zip(entries, (1, 2, 1), (1.0, 2.0, 1.01), strict=True)}
    found = {each.goal: each for each in recommend(entries, held)}
    assert (found["throughput"].name, found["throughput"].runner_up, found["throughput"].beyond_noise) == ("a", "c", False)
    assert found["throughput"].margin == pytest.approx(1.01)
    assert "within noise" in found["throughput"].words
    assert (found["memory"].name, found["memory"].margin, found["memory"].beyond_noise) == ("b", 2.0, None)
    assert found["quality"].margin == 1.0
    assert found["quality"].words.endswith("as well")
    (alone, *_) = recommend(entries[:1], held)
    assert alone.runner_up is None
    assert "only one" in alone.words


def test_a_target_that_fails_its_requests_is_not_recommended() -> None:
    broken = candidate("a", 1, 1.0, requests=RequestCounts(scheduled=10, done=4, failed=6, timed_out=0, unsent=0))
    assert {each.name for each in recommend([broken, candidate("b", 2, 2.0)], {})} == {"b"}
    assert recommend([broken], {}) == ()


def test_a_part_speaks_as_a_share_of_the_whole(context: RecordingContext) -> None:
    part = SubContext(context, 1, 4, "second\x1b")
    part.progress(5, 10, "half")
    part.progress(30, 10, "")
    part.metric("ppl", 2.0)
    part.log("word")
    assert [(done, total) for done, total, _ in context.steps] == [(1500, 4000), (2000, 4000)]
    assert not any("\x1b" in label for _, _, label in context.steps)
    assert context.lines[0].endswith(": word")
    assert part.artifacts.is_dir()
    assert part.artifacts.parent == context.artifacts


def test_a_comparison_is_told_apart_from_a_benchmark() -> None:
    assert "recommendations" in BenchmarkCompareResult.model_fields
