"""`llmopt benchmark` asked for what cannot be: exit code 2 and one sentence before anything is begun; and the other exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.benchmark.analysis.thresholds import EXAMPLES
from core.benchmark.check import check
from core.benchmark.result import Threshold
from core.benchmark.spec import BenchmarkSpec
from core.runs.state import store
from tests.core.benchmark.making import made, samples
from tests.core.benchmark.refusing import refusing
from tests.tui.cli.conftest import Llmopt
from tui.cli.help.benchmark import COMMANDS, QUESTIONS, TEXTS, TRACE
from tui.cli.printing.benchmark import print_benchmark

URL = "http://127.0.0.1:9"
FILES = {
    "empty.jsonl": "",
    "blank.jsonl": "\n \n",
    "broken.jsonl": '{"timestamp": 0, "prompt": "x"}\n{oops\n',
    "back.jsonl": '{"timestamp": 2, "prompt": "x"}\n{"timestamp": 1, "prompt": "x"}\n',
    "untimed.jsonl": '{"prompt": "x"}\n',
    "wordless.jsonl": '{"timestamp": 0}\n',
    "huge.jsonl": '{"timestamp": 0, "input_tokens": 99999999999}\n',
}
LOAD = ("--requests", "4", "--concurrency", "2", "--output-tokens", "4", "--input-tokens", "16", "--warmup", "0")


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((URL, "--load", "trace"), "give a JSONL file"),
        ((URL, "--load", "trace", "--trace", "empty.jsonl"), "empty.jsonl has no requests"),
        ((URL, "--load", "trace", "--trace", "blank.jsonl"), "blank.jsonl has no requests"),
        ((URL, "--load", "trace", "--trace", "broken.jsonl"), "line 2 of broken.jsonl is not JSON"),
        ((URL, "--load", "trace", "--trace", "back.jsonl"), "goes back in time at its request 2"),
        ((URL, "--load", "trace", "--trace", "untimed.jsonl"), "needs a timestamp in every line"),
        ((URL, "--load", "trace", "--trace", "wordless.jsonl"), "neither prompt nor input_tokens"),
        ((URL, "--load", "trace", "--trace", "huge.jsonl"), "input_tokens is not a whole number from 1 to"),
        ((URL, "--load", "trace", "--trace", "none.jsonl"), "cannot read none.jsonl: No such file"),
        ((URL, "--prompts", "broken.jsonl"), "line 2 of broken.jsonl is not JSON"),
        ((URL, "--choices", "empty.jsonl"), "has no questions"),
        ((URL, "--thresholds", "ttft p95 < 5"), "cannot be read"),
        ((URL, "--thresholds", "speed > 3"), "names no metric"),
        ((URL, "--thresholds", "ttft.p42 < 3"), "choose one of p50"),
        ((URL, "--thresholds", "kl < 3 bananas"), "takes nat, mnat"),
        ((URL, "--thresholds", "accuracy > 50%"), "give choices too"),
        ((URL, "--thresholds", "kl < 0.1", "--quality-tokens", "64"), "give quality-reference too"),
        ((URL, "--thresholds", ""), "the option has no value"),
        ((URL, "--objectives", "throughput > 3"), "objective"),
        ((URL, "--baseline", "nosuch"), "no run 'nosuch'"),
        ((URL, "--key-env", "NO_SUCH_KEY"), "NO_SUCH_KEY, which should hold the server's key, is not set"),
        ((URL, "--engine", "nobody"), "unknown engine"),
        ((URL, "--tokenizer", "bundled:nothing"), "bundled:nothing"),
        ((URL, "--quality-tokens", "64", "--quality-reference", "bundled:base"), "give tokenizer"),
        (("127.0.0.1:9",), "starts with http://"),
        (("http://me:secret@127.0.0.1:9",), "a name, a password or a query"),
        (("bundled:base", "--input-tokens", "900", "--output-tokens", "500"), "exceed the context of 1024"),
        (("bundled:base", "--context", "5000"), "exceeds the 1024"),
        (("bundled:base", "--engine", "llama-cpp"), "supports only GGUF files"),
        (("bundled:base", "--engine", "tgi"), "give the address of its server"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_begun(arguments: tuple[str, ...], words: str, llmopt: Llmopt) -> None:
    answer = llmopt("benchmark", *arguments, "--json")
    assert answer.code == 2
    assert answer.err.startswith("llmopt: ")
    assert words in answer.err
    assert answer.err.count("\n") == 1
    assert "secret" not in answer.err + answer.out
    assert answer.document["exit_code"] == 2
    assert store.list_runs() == []


def test_the_exit_code_says_how_it_went(llmopt: Llmopt) -> None:
    with refusing("good") as server:
        assert llmopt("benchmark", server.url, *LOAD, "--thresholds", "errors == 0,throughput > 0").code == 0
        missed = llmopt("benchmark", server.url, *LOAD, "--thresholds", "throughput > 1k, throughput > 1000000k")
    assert missed.code == 3
    assert "NOT MET" in missed.out
    with refusing("post 401") as server:
        failed = llmopt("benchmark", server.url, *LOAD, "--json")
    assert failed.code == 1
    assert "none of 4 requests was answered" in failed.err
    assert failed.document["entries"][0]["requests"] == {"scheduled": 4, "done": 0, "failed": 4, "timed_out": 0, "unsent": 0, "cancelled": 0}
    poor = llmopt("benchmark", URL, *LOAD, "--baseline", str(failed.document["run"]))
    assert poor.code == 2
    assert "has no answered request" in poor.err
    gone = llmopt("benchmark", server.url, *LOAD, "--json")
    assert gone.code == 2
    assert "no answer from" in str(gone.document["error"])


def test_a_comparison_names_the_target_that_is_no_request(llmopt: Llmopt) -> None:
    answer = llmopt("benchmark-compare", "bundled:base", "--formats", "none", "--targets", "mine=openai:http://me:secret@127.0.0.1:9")
    assert answer.code == 2
    assert "mine: the address of the server has a name, a password or a query" in answer.err
    assert "secret" not in answer.err
    assert store.list_runs() == []


def test_the_help_tells_files_expressions_and_keys_and_what_it_tells_is_so(llmopt: Llmopt, tmp_path: Path) -> None:
    told = llmopt("benchmark", "--help").out
    for line in (*TEXTS, *TRACE, *QUESTIONS, *EXAMPLES, *(f"llmopt {command}" for command in COMMANDS)):
        assert line in told
    assert "--key-env" in told
    assert "four characters" in told
    for name, lines in {"texts": TEXTS, "trace": TRACE, "choices": QUESTIONS}.items():
        (tmp_path / name).write_text("\n".join(lines))
        assert all(isinstance(json.loads(line), dict) for line in lines)
    files = {"prompts": "texts", "load": "trace", "trace": "trace", "choices": "choices"}
    check(BenchmarkSpec.model_validate({"model": URL, **files}), None)


@pytest.mark.parametrize(("width", "lines"), [(200, 3), (60, 2)])
def test_what_is_said_of_a_threshold_is_never_cut(
    width: int, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    words = "7.875 times (7.745 to 7.922): worse, beyond noise"
    held = Threshold(expression="ttft.p50 no worse than the baseline", value=345.8, unit="ms", passed=False, words=words)
    result = made(samples(0)).model_copy(update={"thresholds": (held,)})
    print_benchmark(result)
    told = capsys.readouterr().out.split("\n\n")[-1]
    assert told.count("\n") >= lines - 1
    assert all(word in told for word in (*words.split(), "345.8", "NOT MET"))
