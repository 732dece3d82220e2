"""The calculator and the pages on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.kvcache.catalog.catalog import SCHEMES
from core.kvcache.pages.result import PagesResult
from core.runs.state import store
from tests.tui.cli.conftest import Llmopt
from tests.tui.kvcache.made import measured
from tui.cli.printing.results import print_result


def test_the_calculator_answers_as_a_table_and_as_a_document(llmopt: Llmopt) -> None:
    asked = ("kv-cache-fit", "size:llama-3.1-8b", "--gpu", "h100", "--context", "8192", "--concurrency", "4", "--tensor-parallel", "2")
    table = llmopt(*asked)
    assert table.code == 0
    assert "estimates, not measurements" in table.out
    assert "dynamic        64.00" in table.out
    document = llmopt(*asked, "--json").document
    assert document["schema"] == "llmopt.kv-cache-fit/1"
    assert document["label"] == "estimate"
    rows = document["rows"]
    assert isinstance(rows, list)
    assert [row["scheme"] for row in rows] == list(SCHEMES)
    assert rows[0]["bytes"] == 4 * 8192 * 64 * 1024
    assert {"bytes_per_token", "fits", "largest_context", "largest_concurrency"} <= set(rows[0])
    assert isinstance(document["grids"], list)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("kv-cache-fit", "MODEL", "--context", "129"), "a context of 129 tokens is more than the 128"),
        (("kv-cache-fit", "MODEL", "--gpu", "h100", "--memory", "80"), "give one of them"),
        (("kv-cache-fit", "MODEL", "--memory", "0"), "at least one GPU with memory"),
        (("kv-cache-fit", "MODEL", "--gpu", "h9000"), "unknown GPU"),
        (("kv-cache-fit", "size:nothing"), "unknown model"),
        (("kv-cache-fit", "MODEL", "--gpu", "h100", "--tensor-parallel", "3"), "cannot be divided among 3 GPUs"),
        (("kv-cache-pages", "MODEL", "--block-size", "0"), "block-size = 0 is invalid"),
        (("kv-cache-pages", "MODEL", "--context", "129"), "a context of 129 tokens is more than the 128"),
        (("kv-cache-pages", "MODEL", "--blocks", "3", "--new-tokens", "8", "--prompt-tokens", "8", "--system-tokens", "20"), "give at least"),
        (("kv-cache-pages", "MODEL", "--mode", "simulate", "--trace", "file"), "needs trace-file"),
        (("kv-cache-pages", "MODEL", "--mode", "simulate", "--trace", "file", "--trace-file", "TRACE"), "line 2 of"),
        (("kv-cache-pages", "MODEL", "--mode", "simulate", "--trace", "file", "--trace-file", "EMPTY"), "is empty"),
        (("kv-cache-pages", "MODEL", "--mode", "simulate", "--size", "\x1b[31mred"), "unknown model"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_begins(
    llmopt: Llmopt, model_dir: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    damaged, empty = tmp_path / "damaged.jsonl", tmp_path / "empty.jsonl"
    damaged.write_text('{"arrival_s": 0, "prompt_tokens": 4, "output_tokens": 4}\n{"arrival_s": 0, "prompt_tokens": -4, "output_tokens": 4}\n')
    empty.write_text("\n")
    places = {"MODEL": str(model_dir), "TRACE": str(damaged), "EMPTY": str(empty)}
    answer = llmopt(*(places.get(word, word) for word in arguments))
    assert answer.code == 2
    assert words in answer.err
    assert answer.err.count("\n") == 1
    assert "\x1b" not in answer.err
    assert store.list_runs() == []


def test_results_of_both_modes_are_told_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    for name, words in (("pages", ("measured", "prompt", "waited")), ("simulation", ("simulation", "tokens/s", "continuous"))):
        print_result(measured(name, PagesResult))
        told = capsys.readouterr().out
        assert all(word in told for word in words)
        assert "text" not in told
        assert ("waited" in told) == (name == "pages")
