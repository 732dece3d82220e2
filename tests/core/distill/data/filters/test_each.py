"""Filters that look at one example."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.distill.data.filters.empty import has_text
from core.distill.data.filters.language import in_language, script_of
from core.distill.data.filters.refusal import is_willing
from core.distill.data.filters.repetition import has_loop, is_free_of_loops
from core.distill.data.filters.truncated import is_whole
from core.distill.data.filters.units import units
from tests.core.distill.data.filters.making import example

CHINESE = "梯度下降沿着损失函数的负梯度方向更新参数,学习率决定每一步的大小,太大则发散。"
ENGLISH = "Gradient descent moves parameters against the gradient of the loss; the rate sets the size of a step."
JAPANESE = "勾配降下法は損失関数の勾配と逆の方向にパラメータを更新していく方法です。"


@pytest.mark.parametrize(
    ("answer", "kept"),
    [("", False), (" \n\t", False), ("<think>so</think>\n", False), ("<think>never ends", False), ("<think>a</think>b", True), ("。", True)],
)
def test_empty(answer: str, kept: bool) -> None:
    assert has_text(example(answer)) == kept


def test_thinking_without_its_start_is_left_out_too() -> None:
    assert example("so I think</think>\n\nyes").said == "yes"


@pytest.mark.parametrize(("finish", "kept"), [("stop", True), ("", True), ("length", False), ("MAX_TOKENS", False), ("eos_token", True)])
def test_truncated(finish: str, kept: bool) -> None:
    assert is_whole(example("a", finish=finish)) == kept


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, but I can\u2019t assist with that request.",
        "I am afraid I cannot do this for you.",
        "As an AI language model, I do not have opinions.",
        "I cannot provide instructions for that.",
        "I apologize, but I am not able to answer.",
        "I'm unable to browse the web.",
        "This request violates our content policy.",
        "抱歉,我无法回答这个问题。",
        "对不起,作为人工智能,我没有个人观点。",
        "作为一个大语言模型,我不能预测股价。",
        "我无法为您提供这方面的帮助。",
        "很遺憾,這個請求我不能完成。",
    ],
)
def test_refusals(answer: str) -> None:
    assert not is_willing(example(answer))
    assert not is_willing(example(f"<think>I can help.</think>{answer}"))


@pytest.mark.parametrize(
    "answer",
    [
        "Sorry about the confusion! Here is the corrected function.",
        "You cannot divide by zero, because no number times zero is one.",
        "I can help you with that.",
        "The model cannot provide more than the data has.",
        "对不起这个词在英语里是 sorry。",
        "水在零下无法流动,因为它结冰了。",
        ENGLISH,
        CHINESE,
        ENGLISH * 5 + "As an AI language model",
    ],
)
def test_no_refusals(answer: str) -> None:
    assert is_willing(example(answer))


def loops(parts: list[str]) -> bool:
    """Word for word what a loop is: every start, period and length."""
    for period in range(1, 65):
        run = 0
        for place in range(period, len(parts)):
            run = run + 1 if parts[place] == parts[place - period] else 0
            if run and run + period >= max(4 * period, 30):
                return True
    return False


@given(st.integers(0, 10**9))
def test_loops_are_found_as_by_their_definition(seed: int) -> None:
    draw = random.Random(seed)
    period, copies = draw.randint(1, 20), draw.randint(1, 40)
    unit = [draw.choice("abcdefghij") for _ in range(period)]
    around = [[draw.choice("abcdefghij") for _ in range(draw.randint(0, 40))] for _ in range(2)]
    loop = (unit * copies)[: draw.randint(1, period * copies)]
    parts = around[0] + loop + around[1]
    assert has_loop(parts) == loops(parts)


def test_loops_of_words_and_characters() -> None:
    assert not is_free_of_loops(example("It starts well. " + "and then it goes back, " * 8))
    assert not is_free_of_loops(example("我们知道" + "这是因为" * 10))
    for fine in (ENGLISH * 2, CHINESE * 2, "no, no, no, no!", "| a | b |\n|---|---|\n" * 3, ""):
        assert is_free_of_loops(example(fine))


@pytest.mark.parametrize(
    ("text", "script"),
    [
        (CHINESE, "han"),
        (ENGLISH, "latin"),
        (JAPANESE, "kana"),
        ("Привет, как дела?", "cyrillic"),
        ("안녕하세요 여러분", "hangul"),
        ("用 Python 的 asyncio 写一个爬虫", "han"),
        ("```python\nprint(1)\n```", ""),
        ("12 + 3", ""),
    ],
)
def test_scripts(text: str, script: str) -> None:
    assert script_of(text) == script


@pytest.mark.parametrize(
    ("rule", "prompt", "answer", "kept"),
    [
        ("as-prompt", CHINESE, CHINESE, True),
        ("as-prompt", CHINESE, ENGLISH, False),
        ("as-prompt", ENGLISH, CHINESE, False),
        ("as-prompt", CHINESE, JAPANESE, False),
        ("as-prompt", CHINESE, "```python\n" + ENGLISH + "\n```\n这段代码可以用。", True),
        ("as-prompt", CHINESE, "42", True),
        ("as-prompt", "17 * 3 = ?", CHINESE, True),
        ("as-prompt", ENGLISH, f"<think>{CHINESE}</think>{ENGLISH}", True),
        ("any", CHINESE, ENGLISH, True),
        ("english", CHINESE, ENGLISH, True),
        ("english", ENGLISH, CHINESE, False),
        ("chinese", ENGLISH, CHINESE, True),
        ("chinese", CHINESE, ENGLISH, False),
    ],
)
def test_languages(rule: str, prompt: str, answer: str, kept: bool) -> None:
    assert in_language(rule)([example(answer, prompt)]) == [kept]  # type: ignore[arg-type]


def test_units_are_words_and_single_characters() -> None:
    assert units("Don't use GPT-4, 用中文! Ｆｕｌｌ カナ") == ["don", "t", "use", "gpt", "4", "用", "中", "文", "full", "カ", "ナ"]
