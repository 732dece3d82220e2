"""Prompts of the wished lengths, and files that are no prompts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.benchmark.analysis.steady import steady_window
from core.benchmark.client.outcome import Outcome, Piece
from core.benchmark.metrics.base import Window
from core.benchmark.workload.prompts import Characters, Tokenizer, builtin_prompts, file_prompts, lengths
from core.errors import RequestError

SECOND = 10**9


class Words:
    """A tokenizer of characters: what it encodes is as long as what it decodes."""

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    def decode(self, tokens: list[int]) -> str:
        return "".join(map(chr, tokens))


def made(tokenizer: Tokenizer | None = None, **options: object) -> list[str]:
    settings = {"count": 12, "input_tokens": (50, 0.0), "output_tokens": (8, 0.0), "shared_prefix": 0, "seed": 1} | options
    return [prompt.text for prompt in builtin_prompts(tokenizer or Words(), **settings)]  # type: ignore[arg-type]


def test_prompts_have_their_length_and_differ() -> None:
    prompts = made(count=40)
    assert {len(prompt) for prompt in prompts} == {50}
    assert len({prompt[:20] for prompt in prompts}) > 30


def test_a_prefix_is_shared_and_what_is_behind_it_is_not() -> None:
    prompts = made(shared_prefix=30)
    assert len({prompt[:30] for prompt in prompts}) == 1
    assert len({prompt[30:] for prompt in prompts}) == 12
    assert {len(prompt) for prompt in prompts} == {50}


def test_seeds_make_equal_and_different_texts() -> None:
    assert made() == made()
    assert made() != made(seed=2)


def test_without_a_tokenizer_four_characters_are_a_token_and_the_length_is_not_claimed() -> None:
    prompts = builtin_prompts(None, count=3, input_tokens=(50, 0.0), output_tokens=(8, 0.0), shared_prefix=0, seed=0)
    assert {len(prompt.text) for prompt in prompts} == {200}
    assert {prompt.input_tokens for prompt in prompts} == {None}


@given(st.text(max_size=30).filter(lambda text: "\0" not in text))
def test_characters_come_back(text: str) -> None:
    assert Characters().decode(Characters().encode(text)) == text


@given(st.integers(1, 5000), st.floats(0, 3000), st.integers(0, 99))
def test_lengths_stay_in_their_bounds(mean: int, deviation: float, seed: int) -> None:
    drawn = lengths(mean, deviation, 50, np.random.default_rng(seed))
    assert drawn.min() >= 1
    assert drawn.max() <= max(2 * mean - 1, 1)


def test_lengths_have_the_wished_mean() -> None:
    drawn = lengths(500, 120, 20_000, np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(500, rel=0.01)
    assert drawn.std() == pytest.approx(120, rel=0.03)


def test_a_file_gives_texts_lengths_and_times(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    lines = [{"prompt": "hello"}, {"input_tokens": 9, "output_tokens": 3, "timestamp": 1.5}, {"input_tokens": 9}]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    prompts = file_prompts(file, Words(), 16)  # type: ignore[arg-type]
    assert [(prompt.input_tokens, prompt.output_tokens, prompt.at) for prompt in prompts] == [(5, 16, None), (9, 3, 1.5), (9, 16, None)]
    assert prompts[1].text != prompts[2].text
    assert len(prompts[1].text) == 9


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "no requests"),
        ('{"prompt": "a"}\n{oops', "line 2 of .* is not JSON"),
        ("[1]", "line 1 of .* is not a JSON object"),
        ('{"x": 1}', "neither prompt nor input_tokens"),
        ('{"input_tokens": 0}', "input_tokens is not a whole number"),
        ('{"prompt": "a", "timestamp": "now"}', "timestamp"),
    ],
)
def test_a_damaged_file_is_refused_with_its_line(tmp_path: Path, content: str, word: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(content)
    with pytest.raises(RequestError, match=word):
        file_prompts(file, None, 16)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot read"):
        file_prompts(tmp_path / "none.jsonl", None, 16)


def spans(*times: tuple[float, float]) -> list[Outcome]:
    return [
        Outcome(index, "done", round(first * SECOND), sent=round(first * SECOND), pieces=[Piece(round(last * SECOND), "x")])
        for index, (first, last) in enumerate(times)
    ]


def test_building_up_and_running_dry_are_left_out() -> None:
    outcomes = spans(*((0.5 * start, 0.5 * start + 4) for start in range(8)), *((4 + 0.5 * start, 8 + 0.5 * start) for start in range(8)))
    window, words = steady_window(outcomes, 0, 12 * SECOND)
    assert 3 <= window.first / SECOND <= 4
    assert 7.5 <= window.last / SECOND <= 9
    assert "90 %" in words


def test_one_request_is_measured_whole() -> None:
    assert steady_window(spans((0, 5)), 0, 5 * SECOND) == (Window(0, 5 * SECOND), "the whole load")


def test_one_after_the_other_is_full_all_the_time() -> None:
    window, _ = steady_window(spans(*((start, start + 0.99) for start in range(20))), 0, 20 * SECOND)
    assert window.seconds > 19


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('{"timestamp": -1, "prompt": "x"}', "seconds from 0"),
        ('{"timestamp": NaN, "prompt": "x"}', "seconds from 0"),
        ('{"timestamp": 1700000000000, "prompt": "x"}', "seconds from 0"),
        ('{"timestamp": true, "prompt": "x"}', "seconds from 0"),
        ('{"input_tokens": 99999999999}', "from 1 to 4194304"),
        ('{"prompt": "x", "output_tokens": 99999999}', "from 1 to 1048576"),
        ("{oops", "is not JSON: Expecting property name enclosed in double quotes (column 2)"),
    ],
)
def test_a_line_beyond_reason_is_named(tmp_path: Path, line: str, word: str) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_text('{"timestamp": 0, "prompt": "fine"}\n' + line + "\n")
    with pytest.raises(RequestError, match="line 2") as refused:
        file_prompts(file, None, 8)
    assert word in str(refused.value)


def test_a_file_may_begin_with_a_mark_and_hold_line_separators(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"prompt": "one\xe2\x80\xa8line"}\r\n{"prompt": "two"}\r\n')
    assert [prompt.text for prompt in file_prompts(file, None, 8)] == ["one\u2028line", "two"]
