"""Answers that refuse the task, in English and Chinese."""

from __future__ import annotations

import re

from core.distill.data.filters.example import Example

_OPENING = 240
"""Characters of an answer in which a refusal is looked for: later ones are mostly quoted or partial."""
_ENGLISH = (
    r"\bi(?:'m| am)(?: \w+)? (?:sorry|afraid)\b[^.!?]{0,60}\b(?:can(?:no|')t|can not|unable|not able|won't)\b",
    r"\bi apologi[sz]e\b[^.!?]{0,60}\b(?:can(?:no|')t|can not|unable|not able|won't)\b",
    r"\bi (?:can(?:no|')t|can not|won't|will not|am unable to|am not able to|must decline to) (?:\w+ )?"
    r"(?:assist|help|comply|fulfil+|provide|answer|do that|create|generate|write|engage|support|discuss|share|continue)\b",
    r"\bi'm (?:unable|not able|not allowed) to\b",
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b",
    r"\bi (?:don't|do not) feel comfortable\b",
    r"\b(?:violates?|against) (?:\w+ )?(?:content |usage |safety )?(?:policy|policies|guidelines)\b",
)
_CHINESE = (
    r"(?:抱歉|对不起|對不起|很遗憾|很遺憾)[^。!?!?]{0,30}(?:无法|無法|不能|不可以|不便|没办法|沒辦法)",
    r"(?:我|本人)(?:无法|無法|不能|不可以|不便)(?:为您|为你|為您|為你|帮您|帮你|幫您|幫你)?(?:提供|回答|协助|協助|帮助|幫助|满足|滿足|完成|生成|讨论|討論|继续|繼續)",
    r"作为(?:一个|一名|一款)?(?:人工智能|大?语言模型|AI)|作為(?:一個|一名|一款)?(?:人工智慧|人工智能|大?語言模型|AI)",
    r"(?:违反|違反|不符合)[^。]{0,12}(?:政策|规定|規定|准则|準則)",
)
_REFUSAL = re.compile("|".join((*_ENGLISH, *_CHINESE)), re.IGNORECASE)


def is_willing(example: Example) -> bool:
    """Whether the start of the answer has no phrase of a refusal."""
    return _REFUSAL.search(example.said[:_OPENING].replace("\u2019", "'")) is None
