import json
import shlex

import pytest

from core.errors import RequestError
from core.speculate.advice import DRAFTERS, advise

HOSTILE = "a model'; rm -rf / #\x1b[31m"


def by_engine(*args, **kwargs):
    return {answer.engine: answer for answer in advise(*args, **kwargs)}


def test_a_draft_model_in_every_engine():
    found = by_engine("org/big", "model", 5, draft="org/small")
    words = shlex.split(found["vLLM"].command)
    assert words[:4] == ["vllm", "serve", "org/big", "--speculative-config"]
    assert json.loads(words[4]) == {"method": "draft_model", "model": "org/small", "num_speculative_tokens": 5}
    sglang = shlex.split(found["SGLang"].command)
    assert sglang[:4] == ["sglang", "serve", "--model-path", "org/big"]
    assert sglang[sglang.index("--speculative-algorithm") + 1] == "STANDALONE"
    assert sglang[sglang.index("--speculative-num-steps") + 1] == "5"
    assert sglang[sglang.index("--speculative-num-draft-tokens") + 1] == "6"
    llama = shlex.split(found["llama.cpp"].command)
    assert llama[llama.index("--spec-type") + 1] == "draft-simple"
    assert llama[llama.index("--spec-draft-n-max") + 1] == "5"
    assert not {"--draft", "--draft-max", "--draft-min"} & set(llama)
    assert [shlex.split(line)[:3] for line in found["llama.cpp"].prepare] == [["llmopt", "quantize", "org/big"], ["llmopt", "quantize", "org/small"]]
    assert llama[2] == "big-Q8_0/model.gguf"
    assert found["TensorRT-LLM"].file in found["TensorRT-LLM"].command


def test_the_configuration_file_is_yaml_that_says_it():
    yaml = pytest.importorskip("yaml")
    found = by_engine(HOSTILE, "model", 3, draft='x"\n  decoding_type: NGram')["TensorRT-LLM"]
    document = yaml.safe_load(found.content)
    assert document["speculative_config"]["decoding_type"] == "DraftTarget"
    assert document["speculative_config"]["max_draft_len"] == 3
    lookup = yaml.safe_load(by_engine("m", "lookup", 4)["TensorRT-LLM"].content)
    assert lookup == {
        "disable_overlap_scheduler": True,
        "speculative_config": {"decoding_type": "NGram", "max_draft_len": 4, "max_matching_ngram_size": 5},
    }


def test_ngrams_in_every_engine():
    found = by_engine("org/big", "lookup", 4, lookup=(2, 3))
    settings = json.loads(shlex.split(found["vLLM"].command)[4])
    assert settings == {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_min": 2, "prompt_lookup_max": 3}
    assert "NGRAM" in shlex.split(found["SGLang"].command)
    assert "ngram-simple" in shlex.split(found["llama.cpp"].command)


@pytest.mark.parametrize("drafter", ["layers", "medusa"])
def test_engines_without_the_drafter_say_so(drafter):
    for answer in advise("org/big", drafter, 4):
        assert answer.command is None
        assert answer.note.startswith("none")


@pytest.mark.parametrize("drafter", DRAFTERS)
def test_hostile_names_stay_one_word(drafter):
    for answer in advise(HOSTILE, drafter, 2, draft=HOSTILE):
        text = "\n".join([answer.command or "", *answer.prepare, answer.content or ""])
        assert "\x1b" not in text
        if answer.command and answer.engine != "llama.cpp":
            assert any("rm -rf" in word for word in shlex.split(answer.command))
            assert "rm" not in shlex.split(answer.command)


def test_a_gguf_file_is_taken_as_it_is():
    llama = by_engine("/m/big.gguf", "model", 2, draft="/m/small.gguf")["llama.cpp"]
    assert llama.prepare == ()
    assert shlex.split(llama.command)[2] == "/m/big.gguf"


def test_every_answer_states_a_version():
    assert all(answer.version for drafter in DRAFTERS for answer in advise(None, drafter, 2))


def test_what_cannot_be_is_refused():
    with pytest.raises(RequestError, match="one of model"):
        advise("m", "wizard", 3)
    with pytest.raises(RequestError, match="gamma"):
        advise("m", "lookup", 0)
    with pytest.raises(RequestError, match="n-grams"):
        advise("m", "lookup", 1, lookup=(5, 2))
