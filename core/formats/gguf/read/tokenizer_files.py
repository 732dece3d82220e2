"""A tokenizer for transformers, rebuilt from what a GGUF file says about its own; the way back from `tokenizer.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import RequestError
from core.formats.gguf.pre_tokenizers import rule_of
from core.formats.gguf.sentencepiece_model import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from core.models.disk.gguf_header import GgufHeader
from core.sanitize import clean

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SPACE = "\u2581"
_NAMES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
_MOST_TOKENS = 2**22


def write_tokenizer(header: GgufHeader, folder: Path, what: str) -> None:
    """Put tokenizer.json and tokenizer_config.json into a folder.

    Args:
        header: of the file, with long arrays.
        folder: that receives them.
        what: names the file in a complaint, fit to be shown.

    Raises:
        RequestError: no tokenizer, a damaged one, or one of a kind that is not known here.
    """
    metadata = header.metadata
    tokens, kinds = _strings(metadata, "tokens", what), metadata.get("tokenizer.ggml.token_type")
    kinds = kinds if isinstance(kinds, list) and len(kinds) == len(tokens) else [NORMAL] * len(tokens)
    model = metadata.get("tokenizer.ggml.model")
    if model == "gpt2":
        tokenizer = _byte_level(tokens, kinds, _strings(metadata, "merges", what, empty=True), str(metadata.get("tokenizer.ggml.pre", "gpt-2")))
    elif model == "llama":
        tokenizer = _sentencepiece(tokens, kinds, metadata, what)
    else:
        raise RequestError(f"{what} has a tokenizer of the kind {clean(str(model), limit=40)!r}, which is not supported")
    _add_specials(tokenizer, tokens, kinds)
    specials = _special_texts(tokens, metadata)
    _add_post_processor(tokenizer, tokens, metadata)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings: dict[str, object] = {f"{name}_token": text for name, text in specials.items()}
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    template = metadata.get("tokenizer.chat_template")
    if isinstance(template, str):
        settings["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _strings(metadata: Mapping[str, object], key: str, what: str, *, empty: bool = False) -> list[str]:
    found = metadata.get(f"tokenizer.ggml.{key}", [] if empty else None)
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found) or len(found) > _MOST_TOKENS:
        raise RequestError(f"{what} has no tokenizer.ggml.{key}: its tokenizer is missing or damaged")
    return found


def _vocabulary(tokens: Sequence[str], kinds: Sequence[int]) -> dict[str, int]:
    """Text -> id; of tokens with the same text the first counts, and those that only fill up the embedding do not."""
    vocabulary: dict[str, int] = {}
    for index, (text, kind) in enumerate(zip(tokens, kinds, strict=True)):
        if kind != UNUSED or text != f"[PAD{index}]":
            vocabulary.setdefault(text, index)
    return vocabulary


def _byte_level(tokens: Sequence[str], kinds: Sequence[int], merges: Sequence[str], pre: str) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    rule, vocabulary = rule_of(pre), _vocabulary(tokens, kinds)
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges) if left + right in vocabulary]
    pairs = [(left, right) for left, right in pairs if left in vocabulary and right in vocabulary]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=rule.ignore_merges))
    steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if rule.digits else []
    if rule.pattern is not None:
        steps.append(pre_tokenizers.Split(Regex(rule.pattern), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=rule.pattern is None))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentencepiece(tokens: list[str], kinds: Sequence[int], metadata: Mapping[str, object], what: str) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers

    scores = metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise RequestError(f"{what} has no tokenizer.ggml.scores: its tokenizer is missing or damaged")
    vocabulary = _vocabulary(tokens, kinds)
    unknown = next((text for text, kind in zip(tokens, kinds, strict=True) if kind == UNKNOWN), None)
    adds_space = bool(metadata.get("tokenizer.ggml.add_space_prefix", True))
    model = models.BPE(
        vocab=vocabulary,
        merges=_merges_of(tokens, kinds, scores),
        unk_token=unknown,
        fuse_unk=True,
        byte_fallback=any(kind == BYTE for kind in kinds),
    )
    tokenizer = Tokenizer(model)
    replace = normalizers.Replace(" ", _SPACE)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), replace]) if adds_space else replace
    steps: list[Any] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if adds_space else steps)
    return tokenizer


def _merges_of(tokens: Sequence[str], kinds: Sequence[int], scores: Sequence[float]) -> list[tuple[str, str]]:
    """The merges that scores stand for: every way to make a token of two others, best score first."""
    usable = {text: index for text, index in _vocabulary(tokens, kinds).items() if kinds[index] == NORMAL}
    found: list[tuple[float, int, int, tuple[str, str]]] = []
    for text, index in usable.items():
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in usable and right in usable:
                found.append((-float(scores[index]), usable[left], usable[right], (left, right)))
    return [pair for _, _, _, pair in sorted(found)]


def _add_specials(tokenizer: Tokenizer, tokens: Sequence[str], kinds: Sequence[int]) -> None:
    from tokenizers import AddedToken

    vocabulary = _vocabulary(tokens, kinds)
    for wanted, special in ((CONTROL, True), (USER_DEFINED, False)):
        texts = [
            text for index, (text, kind) in enumerate(zip(tokens, kinds, strict=True)) if kind == wanted and vocabulary.get(text) == index and text
        ]
        added = [AddedToken(text, normalized=False, special=special) for text in texts]
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(added)


def _special_texts(tokens: Sequence[str], metadata: Mapping[str, object]) -> dict[str, str]:
    ids = {name: metadata.get(f"tokenizer.ggml.{key}_token_id") for name, key in _NAMES.items()}
    return {name: tokens[index] for name, index in ids.items() if type(index) is int and 0 <= index < len(tokens)}


def _add_post_processor(tokenizer: Tokenizer, tokens: Sequence[str], metadata: Mapping[str, object]) -> None:
    """BOS and EOS around a text, where the file says so; without a word from it as llama.cpp has it."""
    from tokenizers import processors

    specials = _special_texts(tokens, metadata)
    usual = metadata.get("tokenizer.ggml.model") == "llama" or rule_of(str(metadata.get("tokenizer.ggml.pre", "gpt-2"))).adds_bos
    wanted = {"bos": bool(metadata.get("tokenizer.ggml.add_bos_token", usual))}
    wanted["eos"] = bool(metadata.get("tokenizer.ggml.add_eos_token", False))
    before, after = (specials.get(name) if wanted[name] else None for name in ("bos", "eos"))
    used = [text for text in (before, after) if text is not None]
    if used:
        ids = {text: tokens.index(text) for text in used}
        single = [*([before] if before else []), "$A", *([after] if after else [])]
        tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=[*single, "$B:1"], special_tokens=list(ids.items()))
