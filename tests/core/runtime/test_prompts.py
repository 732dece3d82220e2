"""A prompt to be continued does not end with what the tokenizer puts after a text."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from core.runtime.prompts import prompt_tokens

_SPECIALS = {"<s>": 0, "</s>": 1, "<sep>": 2}


def tokenizer(template: str) -> Any:
    letters = {letter: index + len(_SPECIALS) for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = Tokenizer(models.BPE(vocab=_SPECIALS | letters, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(_SPECIALS))
    made.post_processor = processors.TemplateProcessing(single=template, special_tokens=list(_SPECIALS.items()))
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize(
    ("template", "before"), [("<s> $A </s>", [0]), ("$A </s>", []), ("<s> $A", [0]), ("<s> $A <sep> </s>", [0]), ("$A", []), ("</s> $A </s>", [1])]
)
@pytest.mark.parametrize("text", ["def add(a, b):", "x", "ends </s>", "</s></s>", ""])
def test_only_what_the_tokenizer_appends_is_left_out(template: str, before: list[int], text: str) -> None:
    made = tokenizer(template)
    assert prompt_tokens(made, text) == before + made(text, add_special_tokens=False)["input_ids"]
