"""Filters that compare examples, each against brute force on sets of n-grams."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.distill.data.filters.exact import first_of_equals
from core.distill.data.filters.example import Example
from core.distill.data.filters.near import bands_for, jaccard, unlike_earlier
from core.distill.data.filters.overlap import apart_from
from core.distill.data.filters.pipeline import filtered, overlap_filter, usual_filters
from core.distill.data.filters.shingles import shingles
from core.distill.data.filters.units import units
from tests.core.distill.data.filters.making import example

WORDS = [f"word{number}" for number in range(400)]
CHARACTERS = [chr(0x4E00 + number) for number in range(400)]


def grams(text: str, n: int, short: bool = True) -> set[tuple[str, ...]]:
    parts = units(text)
    if len(parts) < n:
        return {tuple(parts)} if parts and short else set()
    return {tuple(parts[start : start + n]) for start in range(len(parts) - n + 1)}


def drawn(seed: int, count: int) -> list[Example]:
    """Texts of which many are an earlier one with some units exchanged: similarities all around the threshold."""
    draw = random.Random(seed)
    made: list[list[str]] = []
    examples = []
    for _ in range(count):
        units_of, mark = draw.choice([(WORDS, " "), (CHARACTERS, "")])
        text = list(draw.choice(made)) if made and draw.random() < 0.7 else [draw.choice(units_of) for _ in range(draw.choice([3, 20, 150]))]
        for _ in range(draw.randint(0, max(len(text) // 40, 1))):
            text[draw.randrange(len(text))] = draw.choice(units_of)
        made.append(text)
        examples.append(example(mark.join(text), "q"))
    return examples


@given(st.text(max_size=200), st.text(max_size=200), st.integers(1, 13))
def test_hashed_sets_have_the_similarity_of_true_sets(one: str, other: str, n: int) -> None:
    true, false = grams(one, n), grams(other, n)
    expected = len(true & false) / len(true | false) if true | false else 1.0
    assert jaccard(shingles(one, n), shingles(other, n)) == pytest.approx(expected)
    assert len(shingles(one, n, short=False)) == len(grams(one, n, short=False))


@settings(max_examples=25)
@given(st.integers(0, 10**9), st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_near_duplicates_are_those_of_brute_force(seed: int, threshold: float) -> None:
    examples = drawn(seed, 60)
    sets = [grams(f"{each.prompt}\n{each.answer}", 5) for each in examples]
    kept: list[int] = []
    for index, found in enumerate(sets):
        if all(len(found & sets[other]) / len(found | sets[other]) < threshold for other in kept):
            kept.append(index)
    assert [index for index, stays in enumerate(unlike_earlier(threshold)(examples)) if stays] == kept
    assert len(kept) < len(examples)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0])
def test_bands_miss_a_pair_at_the_threshold_less_than_once_in_a_million(threshold: float) -> None:
    bands, rows = bands_for(threshold)
    assert bands * rows <= 128
    assert rows == 1 or (1 - threshold**rows) ** bands <= 1e-6


def test_a_sentence_changed_by_a_word_is_near_and_another_task_is_not() -> None:
    long = " ".join(WORDS[:120])
    changed = long.replace("word60 ", "other ")
    assert unlike_earlier(0.8)([example(long), example(changed), example(" ".join(WORDS[100:220]))]) == [True, False, True]
    chinese = "".join(CHARACTERS[:120])
    assert unlike_earlier(0.8)([example(chinese), example(chinese.replace(CHARACTERS[60], "的"))]) == [True, False]


def test_exact_duplicates_but_for_case_and_spacing() -> None:
    found = first_of_equals([example("Yes."), example("yes. "), example("Yes!"), example("Yes.", "Other?"), example("ＹＥＳ.")])
    assert found == [True, False, True, True, False]


@settings(max_examples=25)
@given(st.integers(0, 10**9))
def test_overlap_is_that_of_brute_force(seed: int) -> None:
    draw = random.Random(seed)
    examples, held = drawn(seed, 40), drawn(seed + 1, 5)
    # Stretches around the length of an n-gram, some of them in many examples.
    prompts, texts = [each.prompt for each in held], [each.answer for each in held]
    for _ in range(6):
        parts = units(draw.choice(examples).answer)
        start = draw.randrange(len(parts))
        texts.append(" ".join(parts[start : start + draw.randint(10, 16)]))
    prompts.append(draw.choice(examples).answer)
    template = " ".join(WORDS[300:320])
    examples = [example(f"{each.answer} {template}" if draw.random() < 0.5 else each.answer, each.prompt + each.answer[:5]) for each in examples]
    texts.append(template)
    kept_out = set().union(*(grams(prompt, 13) for prompt in prompts), *(grams(text, 13, short=False) for text in texts))
    of_each = [(grams(each.prompt, 13) | grams(each.answer, 13, short=False)) & kept_out for each in examples]
    expected = [all(sum(gram in other for other in of_each) > 10 for gram in found) for found in of_each]
    assert apart_from(prompts, texts)(examples) == expected


def test_a_short_prompt_overlaps_as_a_whole_and_a_short_answer_never() -> None:
    stays = apart_from(["What is 2 + 2?"], ["Yes."])
    assert stays([example("4", "what is 2 + 2"), example("4", "What is 2 + 3?"), example("Yes.", "Is it?")]) == [False, True, True]
    assert apart_from([], [])([example("a")]) == [True]
    assert stays([]) == []


def test_the_pipeline_counts_what_each_filter_removes() -> None:
    fine = [example(" ".join(WORDS[start : start + 60]), f"Task {start}?") for start in range(0, 300, 60)]
    held = "held-out sentence of a benchmark that has at least thirteen words in a row, they say"
    bad = [
        example(""),
        example("cut", finish="length"),
        example("I'm sorry, I can't help."),
        example("again and " * 20),
        example("因为学习率太大所以参数更新会发散并且无法收敛到最优", "Why does it diverge?"),
        fine[0],
        example(fine[1].answer + " more", fine[1].prompt),
        example(f"He wrote: {held}", "Quote?"),
    ]
    left, counts = filtered([*fine, *bad], [*usual_filters("as-prompt", 0.8), overlap_filter([], [held])])
    assert left == fine
    assert [(count.filter.name, count.removed) for count in counts] == [
        (name, 1) for name in ("empty", "truncated", "refusal", "repetition", "language", "exact", "near", "held-out")
    ]
    lefts = [len(fine) + len(bad), *(count.left for count in counts)]
    assert [before - after for before, after in pairwise(lefts)] == [1] * 8
