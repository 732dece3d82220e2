"""Log-probabilities of a given text, as each server's documentation has them, and sentences where there are none."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engine import Endpoint, ScoringEngine, TokenScore, TopToken, look_up, names
from core.errors import RequestError
from engines.common import scoring
from tests.engines.documented import documented

ECHO = {
    "choices": [
        {
            "text": "Hi you",
            "logprobs": {
                "tokens": ["Hi", " you", "!"],
                "token_logprobs": [None, -0.5, -2.0],
                "top_logprobs": [None, {" you": -0.5, " all": -1.5}, {".": -0.25, "!": -2.0}],
                "text_offset": [0, 2, 6],
            },
        }
    ]
}
OURS = {
    "choices": [
        {
            "logprobs": {
                "tokens": [" you", "!"],
                "token_logprobs": [-0.5, -2.0],
                "top_logprobs": [{" you": -0.5, " all": -1.5}, {"?": -0.25}],
                "token_ids": [7, 9],
                "top_ids": [[[7, -0.5], [8, -1.5]], [[3, -0.25], [4, -0.5]]],
            }
        }
    ]
}
VLLM = {
    "choices": [
        {
            "text": "x",
            "prompt_logprobs": [
                None,
                {"7": {"logprob": -0.5, "rank": 1, "decoded_token": " you"}, "8": {"logprob": -1.5, "rank": 2, "decoded_token": " all"}},
                {"9": {"logprob": -2.0, "rank": 40, "decoded_token": "!"}, "3": {"logprob": -0.25, "rank": 1, "decoded_token": "."}},
            ],
        }
    ]
}
TGI = {
    "generated_text": "x",
    "details": {
        "prefill": [{"id": 1, "text": "Hi", "logprob": None}, {"id": 7, "text": " you", "logprob": -0.5}, {"id": 9, "text": "!", "logprob": -2.0}]
    },
}


def test_an_echo_tells_texts() -> None:
    with documented({"/v1/completions": ECHO}) as server:
        found = scored("openai", server.url, "Hi you!", None)
        (_, _, body) = server.asked[0]
    assert body == {"model": "m", "prompt": "Hi you!", "max_tokens": 0, "echo": True, "logprobs": 2, "temperature": 0}
    assert found == (
        TokenScore(" you", -0.5, None, (TopToken(" you", -0.5), TopToken(" all", -1.5))),
        TokenScore("!", -2.0, None, (TopToken(".", -0.25), TopToken("!", -2.0))),
    )


def test_our_servers_tell_numbers_too_and_texts_where_they_are_clear() -> None:
    with documented({"/v1/completions": OURS}) as server:
        first, second = scored("runtime", server.url, "Hi you!", [1, 7, 9])
        assert server.asked[0][2]["prompt"] == [1, 7, 9]
    assert (first.token, first.top) == (7, (TopToken(" you", -0.5, 7), TopToken(" all", -1.5, 8)))
    assert (second.token, second.top) == (9, (TopToken("", -0.25, 3), TopToken("", -0.5, 4)))


@pytest.mark.parametrize("tokens", [None, [1, 7, 9]])
def test_vllm_tells_the_texts_own_token_first(tokens: list[int] | None) -> None:
    with documented({"/v1/completions": VLLM}) as server:
        first, second = scored("vllm", server.url, "Hi you!", tokens)
        assert server.asked[0][2]["prompt_logprobs"] == 2
    assert (first.token, first.text, first.logprob) == (7, " you", -0.5)
    assert (second.token, second.text, second.logprob) == (9, "!", -2.0)
    assert second.top == (TopToken("!", -2.0, 9), TopToken(".", -0.25, 3))


def test_tgi_tells_its_prefill() -> None:
    with documented({"/generate": TGI}) as server:
        found = scored("tgi", server.url, "Hi you!", [1, 7, 9])
        assert server.asked[0][2]["inputs"] == "Hi you!"
        assert server.asked[0][2]["parameters"]["decoder_input_details"] is True
    assert found == (TokenScore(" you", -0.5, 7), TokenScore("!", -2.0, 9))


def test_tgi_without_its_flag_names_it() -> None:
    with documented({"/generate": {"details": {"prefill": []}}}) as server, pytest.raises(RequestError, match="enable-prefill-logprobs"):
        scored("tgi", server.url, "x", None)


def test_ollama_says_why_not() -> None:
    with pytest.raises(RequestError, match="Ollama returns"):
        scored("ollama", "http://127.0.0.1:9", "x", None)


@pytest.mark.parametrize("name", ["openai", "vllm", "tgi", "llama-cpp", "sglang"])
@pytest.mark.parametrize(
    "answer",
    [
        (400, '{"error":{"message":"Only no echo is supported"}}'),
        {"choices": []},
        {"choices": [{"text": "x", "logprobs": None}]},
        {"choices": [{"logprobs": {"tokens": ["a", "b"], "token_logprobs": [None]}}]},
        {"choices": [{"logprobs": {"tokens": ["a"], "token_logprobs": ["low"]}}]},
        {"choices": [{"prompt_logprobs": [None, {"x": 5}]}]},
        {"details": {"prefill": [5]}},
        [],
    ],
)
def test_a_server_that_does_not_tell_is_named(name: str, answer: Any) -> None:
    title = look_up(name).facts.title
    with documented({"/v1/completions": answer, "/generate": answer}) as server, pytest.raises(RequestError) as refused:
        scored(name, server.url, "Hi", None)
    assert str(refused.value).startswith(f"{title} returns no log-probabilities of a given text here: ")


def test_tokens_of_an_answer_are_not_taken_for_the_text() -> None:
    with pytest.raises(RequestError, match="scores 2 tokens of the text where 5"):
        scoring.of_echo(ECHO, [1, 2, 3, 4, 5, 6])
    first_too = {"choices": [{"logprobs": {"tokens": ["a", "b"], "token_logprobs": [-1.0, -2.0]}}]}
    assert [score.text for score in scoring.of_echo(first_too, [1, 2])] == ["b"]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.sampled_from(["choices", "logprobs", "1"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(JSON)
def test_no_answer_brings_it_down(value: Any) -> None:
    wrapped = ({"choices": [{"logprobs": value, "prompt_logprobs": value}], "details": {"prefill": value}}, value)
    for answer in wrapped:
        for read in (lambda held: scoring.of_echo(held, None), lambda held: scoring.of_prompt_logprobs(held, None), scoring.of_prefill):
            try:
                found = read(answer)
            except RequestError:
                continue
            assert found
            assert all(score.logprob <= 0 and not math.isnan(score.logprob) for score in found)


def test_every_engine_of_this_program_scores_or_says_why_not() -> None:
    assert all(isinstance(look_up(name), ScoringEngine) for name in names())


def scored(name: str, url: str, text: str, tokens: list[int] | None) -> tuple[TokenScore, ...]:
    engine: Any = look_up(name)
    found: tuple[TokenScore, ...] = engine.score(Endpoint(url, "m"), text, tokens, 2)
    return found
