"""Tokenizers into GGUF and back: the same ids from the rebuilt one, and from transformers' own reading of the same keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from core import text
from core.errors import RequestError
from core.formats.gguf.families import FAMILIES
from core.formats.gguf.llama import process as llama_process
from core.formats.gguf.pre_tokenizers import _RULES, name_by_hash, name_by_rule, name_of, rule_of
from core.formats.gguf.read.tokenizer_files import write_tokenizer
from core.formats.gguf.sentencepiece_model import read_pieces
from core.formats.gguf.write.convert import convert, plan_conversion
from core.formats.gguf.write.tokenizer import tokenizer_keys
from core.models.disk.gguf_header import read_gguf_header
from core.models.load import load_tokenizer
from core.models.resolve import resolve
from tests.core.formats.gguf.models import PIECES, make_model, write_sentencepiece

SAMPLES = ["the tea", " in  the\n\ttin", "", "ä ñ 日本 🦙", "</s>the", "a\u2581b", "x" * 40, "it's 12345 don't"]
BASE = resolve("bundled:base").path


def entries_of(folder: Path, model_type: str = "llama", vocabulary: int = 320) -> dict[str, Any]:
    return {entry.key.removeprefix("tokenizer.ggml."): entry.value for entry in tokenizer_keys(folder, FAMILIES[model_type], vocabulary).entries}


def rebuilt(folder: Path, target: Path, model_type: str = "llama", vocabulary: int = 320) -> Any:
    """A tokenizer made of the keys alone, as a file would hold them."""
    metadata = {entry.key: entry.value for entry in tokenizer_keys(folder, FAMILIES[model_type], vocabulary).entries}
    target.mkdir()
    write_tokenizer(type("Header", (), {"metadata": metadata})(), target, "m.gguf")
    return load_tokenizer(target)


def byte_level(folder: Path, pre_tokenizer: Any, *, ignore_merges: bool = False) -> Path:
    """A trained byte-level tokenizer with a rule of its own."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(["the tea in the tin it's 12345 don't DON'T  \n\n x"] * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}))
    (folder / "config.json").write_text("{}")
    return folder


def test_the_bundled_tokenizer_comes_back_on_held_out_text(tmp_path: Path) -> None:
    sample = text.builtin("held-out").text[:200_000]
    again = rebuilt(BASE, tmp_path / "t", vocabulary=4096)
    assert again(sample, verbose=False)["input_ids"] == load_tokenizer(BASE)(sample, verbose=False)["input_ids"]


def test_what_the_bundled_tokenizer_says_of_itself() -> None:
    found = entries_of(BASE, vocabulary=4096)
    assert (found["model"], found["pre"], found["add_bos_token"], found["add_eos_token"]) == ("gpt2", "gpt-2", True, False)
    assert (found["bos_token_id"], found["eos_token_id"]) == (0, 1)
    assert found["token_type"][:6] == [3, 3, 3, 3, 3, 1], "control tokens first"
    assert len(found["tokens"]) == 4096
    assert found["merges"][0] == "Ġ Ġ"
    assert "message" in found["tokenizer.chat_template"]


def test_sentencepiece_comes_back(tmp_path: Path, family_dirs: dict[str, Path]) -> None:
    folder = family_dirs["llama"]
    again, original = rebuilt(folder, tmp_path / "t"), load_tokenizer(folder)
    for sample in SAMPLES:
        assert again(sample)["input_ids"] == original(sample)["input_ids"], sample
        assert again.decode(again(sample)["input_ids"]) == original.decode(original(sample)["input_ids"])


def test_transformers_makes_the_same_tokenizer_of_the_file(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = make_model(tmp_path / "llama", "llama", attention_bias=False)
    convert(plan_conversion(folder, "m"), tmp_path / "m.gguf", "F16")
    theirs, original = AutoTokenizer.from_pretrained(tmp_path, gguf_file="m.gguf"), load_tokenizer(folder)
    for sample in ("the tea", "in  the tin", "ä 日本"):
        assert theirs(sample, add_special_tokens=False)["input_ids"] == original(sample, add_special_tokens=False)["input_ids"]


def test_scores_follow_the_merges_when_the_model_file_is_missing(tmp_path: Path) -> None:
    write_sentencepiece(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with_file = entries_of(tmp_path)
    (tmp_path / "tokenizer.model").unlink()
    without = entries_of(tmp_path)
    assert without["tokens"] == with_file["tokens"]
    assert without["token_type"] == with_file["token_type"]
    merged = [index for index, piece in enumerate(PIECES) if index >= 268]
    assert sorted(merged, key=lambda index: -without["scores"][index]) == sorted(merged, key=lambda index: -with_file["scores"][index])


def test_gemma_adds_no_space_unless_its_files_do(tmp_path: Path) -> None:
    write_sentencepiece(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert entries_of(tmp_path, "gemma2")["add_space_prefix"] is True
    tokenizer = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer | {"normalizer": tokenizer["normalizer"]["normalizers"][1]}))
    assert entries_of(tmp_path, "gemma2")["add_space_prefix"] is False
    assert entries_of(tmp_path)["add_space_prefix"] is False


def test_the_file_holds_what_was_planned(tmp_path: Path, family_dirs: dict[str, Path]) -> None:
    conversion = plan_conversion(family_dirs["qwen3"], "m")
    convert(conversion, tmp_path / "m.gguf", "F16")
    metadata = read_gguf_header(tmp_path / "m.gguf", long_arrays=True).metadata
    for entry in conversion.entries:
        assert metadata[entry.key] == (pytest.approx(entry.value) if entry.kind == "float32" else entry.value), entry.key


@pytest.mark.parametrize("name", sorted(_RULES))
def test_a_rule_is_known_again_and_cuts_alike(name: str, tmp_path: Path) -> None:
    rule = _RULES[name]
    steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if rule.digits else []
    steps += [pre_tokenizers.Split(Regex(rule.pattern), "isolated")] if rule.pattern else []
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=rule.pattern is None))
    whole = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    folder = byte_level(tmp_path / "m", whole, ignore_merges=rule.ignore_merges)
    assert entries_of(folder)["pre"] == name
    again, original = rebuilt(folder, tmp_path / "t"), load_tokenizer(folder)
    for sample in SAMPLES:
        assert again(sample)["input_ids"] == original(sample)["input_ids"], sample


def test_a_rule_that_llama_cpp_lacks_is_refused(tmp_path: Path) -> None:
    spaced = byte_level(tmp_path / "m", pre_tokenizers.ByteLevel(add_prefix_space=True))
    with pytest.raises(RequestError, match=r"llama\.cpp has no name for the pre-tokenizer"):
        entries_of(spaced)
    with pytest.raises(RequestError, match="'unheard of', which is not supported"):
        rule_of("unheard of")


def test_names_by_hash_are_those_of_the_converter() -> None:
    assert name_by_hash([1, 2, 3]) is None
    assert name_by_rule({"pre_tokenizer": "nonsense"}) is None


def test_other_kinds_are_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "<s>": 1}, unk_token="a"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    with pytest.raises(RequestError, match="of type 'WordLevel'"):
        entries_of(tmp_path)
    with pytest.raises(RequestError, match="more tokens than the model has embeddings"):
        entries_of(BASE, vocabulary=100)


def test_pieces_are_read(tmp_path: Path) -> None:
    write_sentencepiece(tmp_path)
    pieces = read_pieces(tmp_path / "tokenizer.model")
    assert [piece.text for piece in pieces] == PIECES
    assert [piece.kind for piece in pieces[:4]] == [2, 3, 3, 6]
    assert pieces[10].score == -10.0


@settings(max_examples=150)
@given(st.data())
def test_damaged_piece_files_are_named(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    write_sentencepiece(folder, PIECES[:40])
    raw = bytearray((folder / "tokenizer.model").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (folder / "tokenizer.model").write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        found = len(read_pieces(folder / "tokenizer.model"))
    except RequestError as error:
        found = "tokenizer.model" in str(error)
    assert found


def test_a_rule_that_is_known_goes_before_a_hash_that_two_tokenizers_share(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.formats.gguf import pre_tokenizers

    def definition(pattern: str) -> dict[str, Any]:
        split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        steps = [split, {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]
        return {"normalizer": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}, "model": {}}

    monkeypatch.setattr(pre_tokenizers, "name_by_hash", lambda _: "kormo")
    assert name_of([], definition(str(_RULES["qwen2"].pattern))) == "kormo", "another name for the same rule"
    assert name_of([], definition(str(_RULES["qwen35"].pattern))) == "qwen35"
    assert name_of([], definition("[a-z]+")) == "kormo"


def test_llama_3_has_a_bos_without_a_word_from_the_file(tmp_path: Path) -> None:
    for pre, expected in (("llama-bpe", True), ("gpt-2", False)):
        folder = tmp_path / pre
        folder.mkdir()
        keys = {"model": "gpt2", "pre": pre, "tokens": ["<s>", *sorted(pre_tokenizers.ByteLevel.alphabet())], "bos_token_id": 0}
        metadata = {f"tokenizer.ggml.{key}": value for key, value in keys.items()}
        write_tokenizer(type("Header", (), {"metadata": metadata})(), folder, "m.gguf")
        assert (load_tokenizer(folder)("a")["input_ids"][0] == 0) is expected


@pytest.mark.llama
@pytest.mark.parametrize(("model_type", "name"), [("llama", "my-Phi3-distill"), ("gemma2", "PHI-3b"), ("phi3", "microsoft-phi-3-medium")])
def test_llama_cpp_opens_a_model_whatever_its_name_is(model_type: str, name: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", model_type)
    conversion = plan_conversion(folder, name)
    convert(conversion, tmp_path / "m.gguf", "F16")
    assert llama_process.tokenize(tmp_path / "m.gguf", ["the tea"]) == [load_tokenizer(folder)("the tea", add_special_tokens=False)["input_ids"]]
    assert "the file names the model" in conversion.notes[0]


def test_tokens_that_skip_spaces_bring_phi_3_into_the_name(tmp_path: Path) -> None:
    write_sentencepiece(tmp_path, [*PIECES, "<|endoftext|>"])
    (tmp_path / "config.json").write_text("{}")
    assert tokenizer_keys(tmp_path, FAMILIES["phi3"], 320, "checkpoint-500").model_name == "checkpoint-500"
    tokenizer = json.loads((tmp_path / "tokenizer.json").read_text())
    added = [row | {"rstrip": row["content"] == "</s>"} for row in tokenizer["added_tokens"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer | {"added_tokens": added}))
    assert tokenizer_keys(tmp_path, FAMILIES["phi3"], 320, "checkpoint-500").model_name == "Phi-3 checkpoint-500"
    assert tokenizer_keys(tmp_path, FAMILIES["phi3"], 320, "Phi-3-mini").model_name == "Phi-3-mini"


@pytest.mark.parametrize("kind", ["byte level", "tokenizer.model", "merges"])
def test_added_tokens_without_an_embedding_are_left_out(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    if kind == "byte level":
        byte_level(folder, pre_tokenizers.ByteLevel(add_prefix_space=False))
    else:
        folder.mkdir()
        write_sentencepiece(folder)
        (folder / "config.json").write_text("{}")
    if kind == "merges":
        (folder / "tokenizer.model").unlink()
    rows = len(load_tokenizer(folder).get_vocab())
    before = entries_of(folder, vocabulary=rows)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens(["<image_soft_token>"])
    tokenizer.add_tokens(["<later>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    found = tokenizer_keys(folder, FAMILIES["llama"], rows)
    assert entries_of(folder, vocabulary=rows) == before
    assert found.notes == ["tokens for which the model has no embedding were left out of the file, 2 in all: '<image_soft_token>', '<later>'"]


@pytest.mark.llama
def test_llama_cpp_opens_a_tokenizer_without_merges(tiny_llama_dir: Path, tmp_path: Path) -> None:
    convert(plan_conversion(tiny_llama_dir, "m"), tmp_path / "m.gguf", "F16")
    assert llama_process.tokenize(tmp_path / "m.gguf", SAMPLES, bos=True) == [load_tokenizer(tiny_llama_dir)(text)["input_ids"] for text in SAMPLES]
