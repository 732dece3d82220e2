"""Evaluations may be compared when text, windows and scored tokens agree; the arithmetic does not matter."""

from __future__ import annotations

from core.evaluate.comparable import convention_key, incomparable_reasons
from core.evaluate.result import Convention

ONE = Convention(
    corpus="python-stdlib/held-out",
    sha256="5f" * 32,
    context=512,
    stride=512,
    scoring="all-targets",
    bos="window",
    windows=32,
    tokens_scored=16352,
    bytes=51234,
    dtype="float32",
)


def test_alike() -> None:
    other = ONE.model_copy(update={"dtype": "bfloat16", "bytes": None})
    assert convention_key(ONE) == convention_key(other) == convention_key(ONE.model_dump())
    assert incomparable_reasons([ONE, other.model_dump()]) == incomparable_reasons([ONE]) == incomparable_reasons([]) == ()


def test_each_part_that_differs_is_a_reason() -> None:
    other = ONE.model_copy(update={"tokens_scored": 4096, "stride": 256})
    assert incomparable_reasons([ONE, ONE, other]) == (
        "the evaluations differ in stride (512 and 256): their perplexities are not comparable",
        "the evaluations differ in tokens scored (16352 and 4096): their perplexities are not comparable",
    )
