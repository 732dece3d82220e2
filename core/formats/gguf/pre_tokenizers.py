"""Which of llama.cpp's ways of cutting text into words a tokenizer has, and the way back.

A name is found by the hash that llama.cpp's converter uses. A tokenizer that was never seen there is known by the rule in its own
tokenizer.json, when llama.cpp has a name for the same rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import RequestError
from core.formats.gguf.pre_tokenizer_hashes import NAMES
from core.sanitize import clean

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_END = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_END}"
_QWEN2 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_END}"
_QWEN35 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED_END = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}|{_CASED_END}"
_GPT4O = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTIONS}?"
    rf"|\p{{N}}{{1,3}}|{_CASED_END}"
)


@dataclass(frozen=True)
class Rule:
    """How a byte-level tokenizer cuts text into words."""

    pattern: str | None = None
    """Regular expression of a word; None: GPT-2's, which the package tokenizers has built in."""
    digits: bool = False
    """Whether every digit is a piece of its own."""
    ignore_merges: bool = False
    """Whether a word that is in the vocabulary is a token without merging."""

    @property
    def adds_bos(self) -> bool:
        """Whether llama.cpp puts a BOS before a text when the file does not say: it does for the rules that ignore merges."""
        return self.ignore_merges


_RULES: dict[str, Rule] = {
    "gpt-2": Rule(),
    "starcoder": Rule(digits=True),
    "llama-bpe": Rule(_LLAMA3, ignore_merges=True),
    "smaug-bpe": Rule(_LLAMA3),
    "qwen2": Rule(_QWEN2),
    "qwen35": Rule(_QWEN35),
    "tekken": Rule(_TEKKEN, ignore_merges=True),
    "gpt-4o": Rule(_GPT4O),
}
_SAME = {
    "gpt-2": ("phi-2", "gigachat", "a.x-4.0", "mellum", "mpt", "olmo", "jais", "trillion", "granite-docling"),
    "starcoder": ("refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"),
    "llama-bpe": ("llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
    "smaug-bpe": ("dbrx",),
    "qwen2": ("deepseek-r1-qwen", "kormo", "f2llmv2", "stablelm2", "hunyuan", "megrez"),
}
_ALIASES = {alias: name for name, aliases in _SAME.items() for alias in aliases}


def name_of(tokens: Sequence[int], tokenizer: Mapping[str, object]) -> str | None:
    """llama.cpp's name for a byte-level tokenizer; None when it has none.

    Args:
        tokens: what it makes of the check text, special tokens included.
        tokenizer: the contents of its tokenizer.json.
    """
    by_hash, by_rule = name_by_hash(tokens), name_by_rule(tokenizer)
    if by_hash is None or by_rule is None:
        return by_hash or by_rule
    return by_hash if _ALIASES.get(by_hash, by_hash) == by_rule else by_rule


def name_by_hash(tokens: Sequence[int]) -> str | None:
    """llama.cpp's name for the tokenizer that makes these tokens of the check text; None when it knows none."""
    return NAMES.get(hashlib.sha256(str(list(tokens)).encode()).hexdigest()[:16])


def name_by_rule(tokenizer: Mapping[str, object]) -> str | None:
    """llama.cpp's name for the rule in a tokenizer.json; None when it has none.

    Args:
        tokenizer: the contents of tokenizer.json, of a byte-level tokenizer.
    """
    if tokenizer.get("normalizer") is not None:
        return None
    model = tokenizer.get("model")
    rule = _rule_in(tokenizer.get("pre_tokenizer"), ignore_merges=isinstance(model, Mapping) and bool(model.get("ignore_merges")))
    return next((name for name, known in _RULES.items() if known == rule), None)


def rule_of(name: str) -> Rule:
    """The rule that llama.cpp has under a name. Raises RequestError: the name is not known here."""
    rule = _RULES.get(_ALIASES.get(name, name))
    if rule is None:
        raise RequestError(
            f"the tokenizer uses llama.cpp's pre-tokenizer {clean(name, limit=60)!r}, which is not supported: "
            "evaluate the original model's folder, or use llama.cpp's own tools"
        )
    return rule


def _rule_in(pre_tokenizer: Any, *, ignore_merges: bool) -> Rule | None:
    """The rule of a tokenizer.json's `pre_tokenizer`; None for one of another kind."""
    if not isinstance(pre_tokenizer, Mapping):
        return None
    steps = pre_tokenizer.get("pretokenizers") if pre_tokenizer.get("type") == "Sequence" else [pre_tokenizer]
    if not isinstance(steps, list) or not steps or not all(isinstance(step, Mapping) for step in steps):
        return None
    *before, last = steps
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    if last.get("use_regex", True):
        digits = [step.get("type") == "Digits" and step.get("individual_digits") for step in before]
        return Rule(digits=bool(digits), ignore_merges=ignore_merges) if all(digits) and len(digits) <= 1 else None
    split = before[0] if len(before) == 1 else {}
    pattern = split.get("pattern")
    isolated = split.get("type") == "Split" and split.get("behavior") == "Isolated" and not split.get("invert")
    return Rule(pattern.get("Regex"), ignore_merges=ignore_merges) if isolated and isinstance(pattern, Mapping) else None
