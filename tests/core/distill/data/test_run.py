"""Data distillation from seeds to the training file, against a server with faults."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.distill.data.check import check
from core.distill.data.client import in_flight
from core.distill.data.events import AnswersSoFar
from core.distill.data.result import DistillDataResult
from core.distill.data.run import ANSWERS, HELD_OUT, TRAINING, run
from core.distill.data.spec import DistillDataSpec
from core.distill.data.training_file import read_training
from core.errors import Cancelled, RequestError, RunFailed
from tests.core.benchmark.scripted import ScriptedServer, scripted_server
from tests.core.conftest import RecordingContext

KEY = "sk-never-anywhere-123"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as found:
        yield found


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "_LONGEST_PAUSE", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def seeds(folder: Path, *prompts: str) -> str:
    path = folder / "seeds.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": prompt}) for prompt in prompts))
    return str(path)


def spec_for(server: ScriptedServer, path: str, **changes: Any) -> DistillDataSpec:
    return DistillDataSpec.parse({"model": server.url, "seeds": path, "held_out_share": 0.0, "silence": 0.5, "timeout": 2.0} | changes)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


FAULTS = ("reset", "hang", "busy", "broken", "latin", "garbage", "loris", "page", "echo", "later")


def prompts(count: int) -> list[str]:
    """One request in ten meets a fault, of all kinds in turn, which is over when it is asked again."""
    return [_prompt(number, FAULTS[number // 10 % len(FAULTS)]) if number % 10 == 5 else f"ok {number}" for number in range(count)]


def _prompt(number: int, kind: str) -> str:
    return f"later {number}" if kind == "later" else f"once {kind} {number}"


def test_ten_percent_faults_and_two_cancels_lose_no_answer_and_repeat_none(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    asked = prompts(200)
    spec = spec_for(server, seeds(tmp_path, *asked), key_env="THE_KEY", price_in=1.0, price_out=10.0)

    def context() -> RecordingContext:
        found = RecordingContext(tmp_path / "run" / "artifacts")
        found.artifacts.mkdir(parents=True, exist_ok=True)
        return found

    said: list[str] = []
    for enough in (50, 120):
        stopped = context()
        answers = stopped.artifacts / ANSWERS
        stopped.cancel_when = lambda _context, path=answers, enough=enough: path.exists() and len(lines(path)) >= enough  # type: ignore[misc]
        with pytest.raises(Cancelled, match=r"\d+ answers are kept"):
            run(spec, stopped)
        assert enough <= len(lines(answers)) < 200
        said += [*stopped.lines, str(stopped.steps), str(stopped.details)]
    last = context()
    result = run(spec, last)
    found = lines(last.artifacts / ANSWERS)
    assert sorted(line["messages"][0]["content"] for line in found) == sorted(asked)
    assert len({line["key"] for line in found}) == 200
    metrics = result.metrics
    assert (metrics.answers, metrics.failed, metrics.uncounted) == (200, 0, 0)
    assert metrics.reused + metrics.answered == 200
    assert metrics.reused >= 120
    assert metrics.retries == sum(line["attempts"] - 1 for line in found) > 5
    assert (metrics.prompt_tokens, metrics.completion_tokens) == (400, 600)
    assert metrics.cost == pytest.approx((400 * 1 + 600 * 10) / 1e6)
    assert metrics.examples == 200 - metrics.removed
    assert len(read_training(Path(result.out))) == metrics.examples
    assert any(f"Bearer {KEY}" in head for head in server.heads)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for text in (written.decode(), result.model_dump_json(), *said, *last.lines, str(last.details), str(last.steps)):
        assert KEY not in text
    events = [AnswersSoFar.parse(data) for kind, data in last.details if kind == AnswersSoFar.kind]
    assert events[-1] is not None
    assert events[-1].answered == metrics.answered
    assert events[-1].cost == metrics.cost


def test_a_key_that_a_server_repeats_is_hidden_in_answers_and_reasons(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: RecordingContext
) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    result = run(spec_for(server, seeds(tmp_path, "parrot", "echo", "ok"), key_env="THE_KEY", retries=0, language="any"), context)
    assert "[key]" in next(line["answer"] for line in lines(context.artifacts / ANSWERS) if line["messages"][0]["content"] == "parrot")
    assert "[key]" in result.failures[0].reason
    assert KEY not in "".join(path.read_text() for path in context.artifacts.iterdir()) + result.model_dump_json()
    assert result.metrics.failed == 1
    assert any("--answers" in note for note in result.notes)


def test_what_is_asked_is_what_the_spec_says(server: ScriptedServer, tmp_path: Path, context: RecordingContext) -> None:
    path = seeds(tmp_path, "ok 1", "ok 1", "ok 2")
    result = run(spec_for(server, path, samples=3, temperature=0.9, top_p=0.8, max_tokens=7, send_seed=True, near_duplicates=1.0), context)
    assert (result.metrics.seeds, result.metrics.repeated, result.metrics.requests, result.metrics.answers) == (3, 1, 6, 6)
    assert len(server.requests) == 6
    first = server.requests[0]
    assert (first["model"], first["temperature"], first["top_p"], first["max_tokens"]) == ("m", 0.9, 0.8, 7)
    assert len({body["seed"] for body in server.requests}) == 6
    # Three equal answers to each prompt are one example.
    assert result.metrics.examples == 2
    assert {count.name: count.removed for count in result.filters if count.removed} == {"exact": 4}


def test_answers_of_another_run_are_reused_and_others_left_alone(server: ScriptedServer, tmp_path: Path, context: RecordingContext) -> None:
    shared = str(tmp_path / "answers.jsonl")
    run(spec_for(server, seeds(tmp_path, "ok 1", "ok 2"), answers=shared), context)
    result = run(spec_for(server, seeds(tmp_path, "ok 2", "ok 3"), answers=shared), context)
    assert (result.metrics.reused, result.metrics.answered, result.metrics.answers) == (1, 1, 2)
    assert len(lines(Path(shared))) == 3
    again = run(spec_for(server, seeds(tmp_path, "ok 2", "ok 3"), answers=shared, system="ok"), context)
    assert again.metrics.reused == 0


def test_held_out_prompts_are_set_aside_and_the_rest_is_apart_from_them(server: ScriptedServer, tmp_path: Path, context: RecordingContext) -> None:
    asked = [f"ok number {n} of a great many quite different prompts {n * 7}" for n in range(100)]
    result = run(spec_for(server, seeds(tmp_path, *asked), held_out_share=0.2, near_duplicates=1.0), context)
    held, trained = (read_training(context.artifacts / name) for name in (HELD_OUT, TRAINING))
    assert 5 <= len(held) == result.metrics.held_out <= 40
    assert len(held) + len(trained) == 100
    assert not {each[0] for each in held} & {each[0] for each in trained}
    exam = tmp_path / "exam.jsonl"
    exam.write_text(json.dumps({"question": asked[3]}) + "\n" + json.dumps({"messages": [{"role": "user", "content": asked[4]}]}))
    again = run(spec_for(server, seeds(tmp_path, *asked), held_out=str(exam), near_duplicates=1.0), context)
    assert again.metrics.examples == 98
    assert {count.name: count.removed for count in again.filters if count.removed} == {"held-out": 2}


def test_a_server_that_dies_fails_the_run_and_keeps_its_answers(server: ScriptedServer, tmp_path: Path, context: RecordingContext) -> None:
    path = context.artifacts / ANSWERS

    def kill(_context: RecordingContext) -> bool:
        if path.exists() and len(lines(path)) >= 30:
            server.kill()
        return False

    context.cancel_when = kill
    with pytest.raises(RunFailed, match="requests in a row failed, the last with: no connection"):
        run(spec_for(server, seeds(tmp_path, *(f"ok {n}" for n in range(2000))), retries=0), context)
    assert len(lines(path)) >= 30


def test_nothing_left_to_train_on_is_an_error_that_counts(server: ScriptedServer, tmp_path: Path, context: RecordingContext) -> None:
    with pytest.raises(RunFailed, match="no text: 1"):
        run(spec_for(server, seeds(tmp_path, "empty 1")), context)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model": "bundled:base"}, "llmopt serve"),
        ({"model": "http://127.0.0.1:1/v1/chat/completions"}, "endpoint path"),
        ({"model": "http://user:pass@127.0.0.1"}, "key-env"),
        ({"price_in": 1.0}, "both prices"),
        ({"samples": 2, "temperature": 0}, "all the same"),
        ({"concurrency": 0}, "concurrency = 0"),
        ({"near_duplicates": 0}, "near-duplicates = 0"),
    ],
)
def test_requests_that_cannot_be_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RequestError) as refused:
        DistillDataSpec.parse({"model": "http://127.0.0.1:1", "seeds": "s.jsonl"} | changes)
    assert complaint in str(refused.value)
    assert "pass" not in str(refused.value).replace("password", "")


def test_the_check_counts_and_reads_what_will_be_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = DistillDataSpec.parse(
        {"model": "http://h", "seeds": seeds(tmp_path, "a", "b", "a"), "samples": 2, "max_tokens": 10, "price_in": 0, "price_out": 5}
    )
    fit = check(spec, None)
    assert (fit.seeds, fit.requests, fit.repeated, fit.most_tokens, fit.most_cost) == (3, 4, 1, 40, pytest.approx(2e-4))
    for changes, complaint in (
        ({"seeds": "/no/such"}, "cannot read the seeds"),
        ({"held_out": "/no/such"}, "cannot read the text"),
        ({"key_env": "NOT_SET_AT_ALL"}, "NOT_SET_AT_ALL"),
        ({"engine": "abacus"}, "unknown engine"),
    ):
        with pytest.raises(RequestError, match=complaint):
            check(DistillDataSpec.parse(spec.model_dump() | changes), None)


def test_a_server_that_does_not_know_the_model_is_refused(server: ScriptedServer, tmp_path: Path, context: RecordingContext) -> None:
    with pytest.raises(RequestError, match="does not serve other: it serves m"):
        run(spec_for(server, seeds(tmp_path, "ok"), served_model="other"), context)
    with pytest.raises(RequestError, match="no answer from"):
        run(DistillDataSpec.parse({"model": "http://127.0.0.1:1", "seeds": seeds(tmp_path, "ok")}), context)


def test_the_result_survives_json(server: ScriptedServer, tmp_path: Path, context: RecordingContext) -> None:
    result = run(spec_for(server, seeds(tmp_path, "ok 1", "later 2")), context)
    assert DistillDataResult.read(json.loads(result.model_dump_json())) == result
    assert Counter(kind for _, kind in context.made) == {"answers": 1, "training": 1}
