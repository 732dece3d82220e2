"""What goes before a question that is sent as tokens: transformers' own special tokens, once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from core.benchmark.quality.opening import opened
from core.benchmark.server.target import FastTokenizer

WORDS = ("<s>", "</s>", "[CLS]", "two", "and", "a", "?")
OPENINGS = {
    "none": (None, []),
    "a BOS token": ("<s> $A", [0]),
    "a BOS token and an EOS token": ("<s> $A </s>", [0]),
    "an EOS token alone": ("$A </s>", []),
    "two": ("<s> [CLS] $A", [0, 2]),
}


@pytest.mark.parametrize("config", [True, False])
@pytest.mark.parametrize("name", OPENINGS)
def test_a_question_opens_as_its_tokenizer_opens_texts(name: str, config: bool, tmp_path: Path) -> None:
    template, opening = OPENINGS[name]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["<s>", "</s>", "[CLS]"])
    if template is not None:
        made.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[(word, WORDS.index(word)) for word in ("<s>", "</s>", "[CLS]")]
        )
    made.save(str(tmp_path / "tokenizer.json"))
    if config:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>"}))
    tokenizer = FastTokenizer(tmp_path / "tokenizer.json")
    assert opened(tokenizer, "two and") == [*opening, 3, 4]
    written = " ".join(WORDS[token] for token in opening)
    assert opened(tokenizer, f"{written} two and") == [*opening, 3, 4]
    assert tokenizer.encode("two and") == [3, 4]
