"""What of a conversation is learned, for the kinds of templates that models have."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.distill.data.chat.mask import masked_tokens
from core.distill.data.chat.rows import rows_of
from core.distill.data.conversation import Conversation, Message
from core.errors import RequestError
from core.models.load import load_tokenizer
from core.models.resolve import resolve
from core.training.distillation import next_tokens

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}<|start|>{{ m['role'] }}<|end|>\n{{ m['content'] | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|end|>\n{% endif %}"
)
SPLIT = LLAMA.replace("<|end|>\n", "<|end|>\n\n")
"""The bundled tokenizer cuts two line breaks otherwise at the end of a text than before a word."""
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' and not loop.last %}{{ m['content'].split('</think>')[-1] }}"
    "{% else %}{{ m['content'] }}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As Qwen3: thinking of earlier turns is left out."""
PREFILLED = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
"""As DeepSeek-R1: prompts with what a finished turn does not have."""
OWN = ""
"""The bundled model's: no token ends a turn."""

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Z")), min_size=1, max_size=12)


@cache
def tokenizer(template: str | None) -> Any:
    found: Any = load_tokenizer(resolve("bundled:base"))
    found.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>", "<|start|>", "<|end|>", "<|eot|>"]})
    if template != OWN:
        found.chat_template = template
    return found


def turns(*contents: str, system: str | None = None) -> Conversation:
    roles = ("user", "assistant")
    said = tuple(Message(roles[number % 2], content) for number, content in enumerate(contents))
    return said if system is None else (Message("system", system), *said)


def learned(found: Any, template: str | None, conversation: Conversation) -> list[str]:
    """Texts of the stretches that are learned."""
    cut = tokenizer(template)
    stretches: list[list[int]] = []
    before = False
    for token, counts in zip(found.tokens, found.mask, strict=True):
        if counts and not before:
            stretches.append([])
        if counts:
            stretches[-1].append(token)
        before = counts
    return [cut.decode(stretch) for stretch in stretches]


@pytest.mark.parametrize(
    ("template", "end", "earlier_end"),
    [(CHATML, "<|im_end|>", "<|im_end|>"), (LLAMA, "<|eot|>", "<|eot|>"), (OWN, "\n<|end_of_text|>", "\n")],
    ids=["chatml", "llama", "bundled"],
)
@given(st.lists(TEXTS, min_size=2, max_size=4).filter(lambda texts: len(texts) % 2 == 0), st.none() | TEXTS)
def test_what_an_assistant_said_and_its_end_are_learned_and_nothing_else(
    template: str, end: str, earlier_end: str, texts: list[str], system: str | None
) -> None:
    conversation = turns(*texts, system=system)
    found = masked_tokens(tokenizer(template), conversation)
    answers = [message.content for message in conversation if message.role == "assistant"]
    expected = [answer + earlier_end for answer in answers[:-1]] + [answers[-1] + end]
    assert learned(found, template, conversation) == expected


def test_the_tokens_are_those_of_transformers() -> None:
    cut, conversation = tokenizer(LLAMA), turns("Hi", "Hello", system="Be brief.")
    messages = [{"role": message.role, "content": message.content} for message in conversation]
    expected = cut.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert list(masked_tokens(cut, conversation).tokens) == expected
    assert expected.count(cut.bos_token_id) == 1


def test_a_template_that_drops_earlier_thinking_is_refused_only_where_it_matters() -> None:
    cut = tokenizer(THINKING)
    found = masked_tokens(cut, turns("q", "<think>so</think>yes"))
    assert learned(found, THINKING, ()) == ["<think>so</think>yes<|im_end|>"]
    assert learned(masked_tokens(cut, turns("q", "a", "r", "<think>b</think>c")), THINKING, ()) == ["a<|im_end|>", "<think>b</think>c<|im_end|>"]
    with pytest.raises(RequestError, match="otherwise once it continues"):
        masked_tokens(cut, turns("q", "<think>so</think>yes", "r", "no"))


@pytest.mark.parametrize(
    ("template", "conversation", "complaint"),
    [
        (None, turns("q", "a"), "no chat template"),
        (CHATML, turns("q"), "no turn of an assistant"),
        (CHATML, turns("q", ""), "no tokens to learn"),
        (LLAMA, turns("q", "  \n"), "no tokens to learn"),
        (SPLIT, turns("q", "a"), "otherwise once it continues"),
        (PREFILLED, turns("q", "a"), "otherwise once it continues"),
        ("{{ bos_token }}" + LLAMA, turns("q", "a"), "twice"),
        ("{{ raise_exception('roles must alternate') }}", turns("q", "a"), "refuses a conversation: roles must alternate"),
        ("{% for %}", turns("q", "a"), "refuses a conversation"),
    ],
)
def test_what_cannot_be_learned_is_refused(template: str | None, conversation: Conversation, complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint):
        masked_tokens(tokenizer(template), conversation)


def test_an_answer_without_any_end_is_refused() -> None:
    cut = tokenizer.__wrapped__(OWN)
    cut.eos_token = None
    with pytest.raises(RequestError, match="would never stop"):
        masked_tokens(cut, turns("q", "a"))


def test_rows_count_the_predictions_of_learned_tokens_and_no_padding() -> None:
    cut = tokenizer(CHATML)
    conversations = [turns("q", "a"), turns("a longer question", "a longer answer", "again", "yes"), turns("q", "too long " * 60)]
    rows = rows_of(cut, conversations, 64)
    assert rows.too_long == 1
    assert rows.tokens.shape == rows.counted.shape
    for row, conversation in enumerate(conversations[:2]):
        masked = masked_tokens(cut, conversation)
        size = len(masked.tokens)
        assert rows.tokens[row, :size].tolist() == list(masked.tokens)
        # The label of a position is the token after it.
        assert [rows.tokens[row, place + 1].item() for place in rows.counted[row].nonzero()[:, 0]] == [
            token for token, counts in zip(masked.tokens, masked.mask, strict=True) if counts
        ]
        assert not rows.counted[row, size - 1 :].any()
    batch = rows.batch(slice(0, 2))
    assert batch.count == sum(sum(masked_tokens(cut, each).mask) for each in conversations[:2])
    assert torch.equal(next_tokens(batch), rows.counted)


def test_bad_conversations_are_named_by_number_and_counted() -> None:
    with pytest.raises(RequestError, match=r"2 of 3 conversations cannot be learned from \(number 1, 3\), the first because .*no tokens"):
        rows_of(tokenizer(CHATML), [turns("q", ""), turns("q", "a"), turns("q")], 64)
    with pytest.raises(RequestError, match="none of 1 conversations fits into 3 tokens"):
        rows_of(tokenizer(CHATML), [turns("q", "a")], 3)
