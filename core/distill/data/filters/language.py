"""Answers in another language than wanted; languages are distinguished by their scripts."""

from __future__ import annotations

import re
from collections import Counter

from core.distill.data.filters.example import Example, Filter, each
from core.distill.data.spec import LanguageRule

_SCRIPTS = {
    "latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
    "han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f",
    "kana": "\u3040-\u30ff",
    "hangul": "\u1100-\u11ff\uac00-\ud7af",
    "cyrillic": "\u0400-\u052f",
    "greek": "\u0370-\u03ff",
    "arabic": "\u0600-\u06ff\u0750-\u077f",
    "hebrew": "\u0590-\u05ff",
    "devanagari": "\u0900-\u097f",
    "thai": "\u0e00-\u0e7f",
}
_LETTERS = {name: re.compile(f"[{ranges}]") for name, ranges in _SCRIPTS.items()}
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|https?://\S+", re.DOTALL)
_LEAST = 20
"""Letters of an answer that is judged: shorter ones are names and formulas."""
_SHARE = 0.1
"""Of the letters that have to be of the wanted script: Chinese texts on code have many Latin ones."""
_DOMINANT = 0.3
"""Share of Han letters from which a text is Chinese: one says as much as several Latin ones."""
_KANA = 0.1
"""Kana per Han letter from which a text is Japanese."""
_WANTED: dict[LanguageRule, str] = {"english": "latin", "chinese": "han"}


def in_language(rule: LanguageRule) -> Filter:
    """A filter that keeps answers in the language of the rule. Code, formulas in $$ and addresses do not count."""
    return each(lambda example: _fits(example, rule))


def script_of(text: str) -> str:
    """The script that a text is written in: `han` for Chinese, `kana` for Japanese, `latin`, ...; "" without letters."""
    found = letters(text)
    total = found.total()
    if not total:
        return ""
    if found["han"] + found["kana"] >= _DOMINANT * total:
        return "kana" if found["kana"] > _KANA * found["han"] else "han"
    return found.most_common(1)[0][0]


def letters(text: str) -> Counter[str]:
    """Letters by script, without code, formulas and addresses."""
    prose = _CODE.sub(" ", text)
    return Counter({name: count for name, pattern in _LETTERS.items() if (count := len(pattern.findall(prose)))})


def _fits(example: Example, rule: LanguageRule) -> bool:
    if rule == "any":
        return True
    wanted = _WANTED.get(rule) or script_of(example.prompt)
    found = letters(example.said)
    total = found.total()
    if not wanted or total < _LEAST:
        return True
    if wanted == "latin" and script_of(example.said) != "latin":
        return False
    if wanted == "han" and script_of(example.said) == "kana":
        return False
    return found[wanted] >= _SHARE * total
