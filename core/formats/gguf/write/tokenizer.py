"""A model folder's tokenizer in the keys of GGUF: byte-level BPE, or SentencePiece with scores."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import RequestError
from core.formats.gguf.families import GgufFamily
from core.formats.gguf.pre_tokenizer_hashes import CHECK_TEXT
from core.formats.gguf.pre_tokenizers import name_of
from core.formats.gguf.sentencepiece_model import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, read_pieces
from core.formats.gguf.write.entries import Entry, Kind
from core.models.disk.files import MAX_INDEX_BYTES, read_object, shown
from core.models.load import load_tokenizer
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SPACE = "\u2581"
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_SPECIALS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_TOKEN_IDS = {"unk": "unknown", "sep": "seperator", "pad": "padding"}
_LOOK_SPECIAL = {"<pad>", "<mask>", "<2mass>", "[@BOS@]"}
_PHI3_NAME = re.compile(r"(phi)-?3", re.IGNORECASE)
_PHI3_TOKENS = {"</s>", "<unk>", "<s>", "<|endoftext|>"}
_NO_MERGE = "<none> <none>"
"""llama.cpp opens no byte-level tokenizer without merges; of these two nothing is ever made."""
_ADDED_SCORE, _ABSENT_SCORE = -1000.0, -10000.0


@dataclass
class _Vocabulary:
    """Tokens in the order of their ids."""

    texts: list[str]
    kinds: list[int]
    scores: list[float] | None = None
    merges: list[str] | None = None


@dataclass(frozen=True)
class TokenizerKeys:
    """What a file says about a tokenizer."""

    entries: list[Entry]
    model_name: str
    """`general.name`: by it llama.cpp decides whether spaces after special tokens belong to them."""
    notes: list[str]


def tokenizer_keys(folder: Path, family: GgufFamily, vocabulary: int, name: str = "") -> TokenizerKeys:
    """Everything llama.cpp must know to turn text into the same tokens.

    Args:
        folder: of the model.
        family: of the model.
        vocabulary: rows of the embedding; ids without a token are filled up.
        name: of the model, for people.

    Raises:
        RequestError: no tokenizer, one of a kind that GGUF has no place for, or one whose rule llama.cpp does not know.
    """
    tokenizer = load_tokenizer(folder)
    file = folder / "tokenizer.json"
    definition = read_object(file, limit=MAX_INDEX_BYTES) if file.is_file() else {}
    beyond = {index: text for text, index in tokenizer.get_vocab().items() if index >= vocabulary}
    if beyond.keys() - tokenizer.added_tokens_decoder.keys():
        raise RequestError(f"the tokenizer in {shown(folder)} has more tokens than the model has embeddings: they do not belong together")
    model = definition.get("model")
    model = model if isinstance(model, Mapping) else {}
    if _is_byte_level(definition, model):
        pre = name_of(tokenizer.encode(CHECK_TEXT), definition)
        if pre is None:
            raise RequestError(f"llama.cpp has no name for the pre-tokenizer of {shown(file)}: this model cannot be written as GGUF")
        words = _byte_level(tokenizer, model, vocabulary)
        entries = [_text("model", "gpt2"), _text("pre", pre)]
    elif (folder / "tokenizer.model").is_file() or (model.get("type") == "BPE" and model.get("byte_fallback")):
        words = _sentencepiece(folder, definition, model, vocabulary)
        entries = [_text("model", "llama"), _text("pre", "default"), _entry("add_space_prefix", _adds_space(folder, family, definition), "bool")]
    else:
        kind = clean(str(model.get("type", "unknown")), limit=40)
        raise RequestError(f"the tokenizer in {shown(folder)} is of type {kind!r}: GGUF supports byte-level BPE and SentencePiece BPE")
    entries += [_entry("tokens", words.texts, "string"), _entry("token_type", words.kinds, "int32")]
    if words.scores is not None:
        entries.append(_entry("scores", words.scores, "float32"))
    if words.merges:
        entries.append(_entry("merges", words.merges, "string"))
    entries += _special_tokens(folder, tokenizer, vocabulary) + _chat_template(tokenizer)
    renamed = _name_by_tokens(name, tokenizer, set(words.texts))
    notes = [] if renamed == name else [f"the file names the model {renamed!r}, because llama.cpp reads special tokens otherwise under {name!r}"]
    if beyond:
        left_out = ", ".join(f"{clean(text, limit=60)!r}" for _, text in sorted(beyond.items())[:3])
        notes.append(f"tokens for which the model has no embedding were left out of the file, {len(beyond)} in all: {left_out}")
    return TokenizerKeys(entries, renamed, notes)


def _name_by_tokens(name: str, tokenizer: PreTrainedTokenizerBase, tokens: set[str]) -> str:
    """The model's name, in which "phi-3" or "phi3" has llama.cpp skip spaces after special tokens and insist on four of them."""
    skips = tokens >= _PHI3_TOKENS and any(token.rstrip for token in tokenizer.added_tokens_decoder.values())
    if skips:
        return name if _PHI3_NAME.search(name) else f"Phi-3 {name}"
    return _PHI3_NAME.sub(r"\1_3", name)


def _entry(key: str, value: Any, kind: Kind) -> Entry:
    return Entry(f"tokenizer.ggml.{key}", value, kind)


def _text(key: str, value: str) -> Entry:
    return _entry(key, value, "string")


def _is_byte_level(definition: Mapping[str, object], model: Mapping[str, object]) -> bool:
    decoder = definition.get("decoder")
    return model.get("type") == "BPE" and not model.get("byte_fallback") and isinstance(decoder, Mapping) and "ByteLevel" in str(decoder)


def _looks_special(text: str) -> bool:
    """Whether an added token is one of those that models forget to mark as special."""
    brackets = (("<|", "|>"), ("<\uff5c", "\uff5c>"), ("<unused", ">"))
    return text in _LOOK_SPECIAL or any(text.startswith(left) and text.endswith(right) for left, right in brackets)


def _byte_level(tokenizer: PreTrainedTokenizerBase, model: Mapping[str, object], vocabulary: int) -> _Vocabulary:
    texts = [f"[PAD{index}]" for index in range(vocabulary)]
    kinds = [UNUSED] * vocabulary
    added = tokenizer.added_tokens_decoder
    for text, index in tokenizer.get_vocab().items():
        if index >= vocabulary:
            continue
        texts[index], kinds[index] = text, NORMAL
        if index in added:
            special = added[index].special or _looks_special(text)
            kinds[index] = CONTROL if special else USER_DEFINED
            texts[index] = text if special else text.replace(_SPACE, " ")
    return _Vocabulary(texts, kinds, merges=_merges(model) or [_NO_MERGE])


def _merges(model: Mapping[str, object]) -> list[str]:
    """Merges as GGUF has them, two parts with a space between; spaces inside parts cannot occur in byte-level tokens."""
    found = model.get("merges")
    merges = found if isinstance(found, list) else []
    if not all(isinstance(merge, str) or (isinstance(merge, list) and [type(part) for part in merge] == [str, str]) for merge in merges):
        raise RequestError("tokenizer.json holds merges that are not pairs of texts: the file is damaged, fetch it again")
    return [merge if isinstance(merge, str) else " ".join(part.replace(" ", chr(ord(" ") + 256)) for part in merge) for merge in merges]


def _sentencepiece(folder: Path, definition: Mapping[str, object], model: Mapping[str, object], vocabulary: int) -> _Vocabulary:
    texts = [f"[PAD{index}]" for index in range(vocabulary)]
    kinds, scores = [UNUSED] * vocabulary, [_ABSENT_SCORE] * vocabulary
    if (folder / "tokenizer.model").is_file():
        for index, piece in enumerate(read_pieces(folder / "tokenizer.model")[:vocabulary]):
            kind = NORMAL if piece.kind == USER_DEFINED else piece.kind
            texts[index], kinds[index], scores[index] = piece.text, kind, piece.score
    else:
        _from_merges(model, texts, kinds, scores)
    for index, text, special in _added_tokens(folder, definition):
        if 0 <= index < vocabulary:
            if kinds[index] in (BYTE, UNKNOWN) and texts[index] == text:
                continue
            control = special or _looks_special(text)
            texts[index] = text if control else text.replace(_SPACE, " ")
            kinds[index], scores[index] = CONTROL if control else USER_DEFINED, _ADDED_SCORE
    return _Vocabulary(texts, kinds, scores)


def _from_merges(model: Mapping[str, object], texts: list[str], kinds: list[int], scores: list[float]) -> None:
    """Scores of a SentencePiece vocabulary of which only the merges are left: a token is the better the earlier it is merged."""
    vocab = model.get("vocab")
    if not isinstance(vocab, Mapping) or not all(isinstance(index, int) and index >= 0 for index in vocab.values()):
        raise RequestError("tokenizer.json holds a vocabulary whose ids are not embedding indices: the file is damaged, fetch it again")
    rank: dict[str, int] = {}
    for number, merge in enumerate(_merges(model)):
        left, _, right = merge.partition(" ")
        rank.setdefault(left + right, number)
    for text, index in vocab.items():
        if index >= len(texts):
            continue
        kind = BYTE if _BYTE.fullmatch(text) else UNKNOWN if text == model.get("unk_token") else NORMAL
        texts[index], kinds[index] = text, kind
        scores[index] = -float(rank[text]) if text in rank else 0.0 if kind != NORMAL else -float(len(rank) + index)


def _added_tokens(folder: Path, definition: Mapping[str, object]) -> list[tuple[int, str, bool]]:
    """(id, text, special) of every token that was added to the vocabulary, by all the files that may name one; later ones count."""
    found: dict[int, tuple[str, bool]] = {}
    if (folder / "added_tokens.json").is_file():
        found |= {int(index): (text, False) for text, index in read_object(folder / "added_tokens.json").items() if isinstance(index, int)}
    if (folder / "tokenizer_config.json").is_file():
        decoder = read_object(folder / "tokenizer_config.json").get("added_tokens_decoder")
        for index, row in decoder.items() if isinstance(decoder, dict) else ():
            if index.isdecimal() and isinstance(row, dict):
                found[int(index)] = str(row.get("content")), bool(row.get("special"))
    added = definition.get("added_tokens")
    for row in added if isinstance(added, list) else ():
        if isinstance(row, Mapping) and isinstance(row.get("id"), int):
            found[row["id"]] = str(row.get("content")), bool(row.get("special"))
    return [(index, text, special) for index, (text, special) in sorted(found.items())]


def _adds_space(folder: Path, family: GgufFamily, definition: Mapping[str, object]) -> bool:
    """Whether the first word of a text is treated as if a space stood before it."""
    if definition:
        steps = str(definition.get("normalizer")) + str(definition.get("pre_tokenizer"))
        return "'Prepend'" in steps or "'prepend_scheme': 'first'" in steps or "'prepend_scheme': 'always'" in steps
    if family.adds_space is not None:
        return family.adds_space
    file = folder / "tokenizer_config.json"
    stated = read_object(file).get("add_prefix_space") if file.is_file() else None
    return True if stated is None else bool(stated)


def _special_tokens(folder: Path, tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> list[Entry]:
    """Ids of the special tokens, and whether BOS and EOS are put around a text: asked of the tokenizer itself."""
    ids = {name: getattr(tokenizer, f"{name}_token_id", None) for name in _SPECIALS}
    for name in ("bos", "eos", "pad"):
        if ids[name] is None:
            ids[name] = _of_config(folder, f"{name}_token_id")
    entries = [
        _entry(f"{_TOKEN_IDS.get(name, name)}_token_id", index, "uint32")
        for name, index in ids.items()
        if isinstance(index, int) and 0 <= index < vocabulary
    ]
    tokens = tokenizer.encode("a")
    entries.append(_entry("add_bos_token", bool(tokens) and ids["bos"] is not None and tokens[0] == ids["bos"], "bool"))
    entries.append(_entry("add_eos_token", len(tokens) > 1 and ids["eos"] is not None and tokens[-1] == ids["eos"], "bool"))
    return entries


def _of_config(folder: Path, key: str) -> int | None:
    value = read_object(folder / "config.json").get(key)
    value = value[0] if isinstance(value, list) and value else value
    return value if type(value) is int else None


def _chat_template(tokenizer: PreTrainedTokenizerBase) -> list[Entry]:
    template: Any = tokenizer.chat_template
    if isinstance(template, Mapping):
        template = template.get("default")
    return [Entry("tokenizer.chat_template", template, "string")] if isinstance(template, str) and template else []
