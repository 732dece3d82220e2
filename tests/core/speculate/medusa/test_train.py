import pytest
import torch

from core.errors import Cancelled, RequestError, RunFailed
from core.models.load import load_model, load_tokenizer
from core.runtime.generate import generate
from core.runtime.opening import open_decoder
from core.runtime.sampling import Sampling
from core.speculate.medusa import train as training
from core.speculate.medusa.heads import MedusaHeads
from core.speculate.medusa.states import Clock, Seen, States, collect, said
from core.speculate.medusa.train import TrainSettings, corpus, ranks_of, train
from core.speculate.medusa.tree import MISSED, UNASKED
from core.text import Corpus

SMALL = TrainSettings(heads=2, tokens=6000, context=100, steps=60, rows=128, seconds=60)
TEXT = Corpus("counting", " ".join(f"{number} comes after {number - 1}." for number in range(1, 1200)))


@pytest.fixture(scope="module")
def model(tiny_llama_dir):
    loaded = load_model(tiny_llama_dir, dtype=torch.float32)
    with torch.no_grad():
        loaded.lm_head.weight.mul_(8)
    return loaded


@pytest.fixture(scope="module")
def tokenizer(tiny_llama_dir):
    return load_tokenizer(tiny_llama_dir)


def test_heads_learn_what_the_target_will_say(model, tokenizer):
    told = []
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    made = train(model, tokenizer, TEXT, SMALL, lambda done, total, label: told.append((done, total, label)))
    assert made.steps == 60
    assert made.tokens > 4000
    untrained = training.top_k(ranks_of(MedusaHeads.on(model, 2), _seen(model, tokenizer).states(2)), 4)  # type: ignore[attr-defined]
    assert made.top_k[0][0] > untrained[0][0] + 0.1
    assert list(made.top_k[0]) == sorted(made.top_k[0])
    assert made.tree.expected > 1.2
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert told[-1][:2] == (1000, 1000)
    assert any("step 60 of 60" in label for _, _, label in told)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in made.heads.parameters())


def _seen(model, tokenizer):
    from core.calibration.windows import calibration_windows

    windows = calibration_windows(TEXT, tokenizer, 30, 100, 0)
    return collect(model, windows, Clock(0, 1e12, lambda *_: None), 1.0)


def test_training_again_gives_the_same_heads(model, tokenizer):
    settings = TrainSettings(heads=2, tokens=3000, context=100, steps=5, rows=64, seconds=600)
    one, other = (train(model, tokenizer, TEXT, settings).heads.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_little_time_leaves_few_steps(model, tokenizer):
    made = train(model, tokenizer, TEXT, TrainSettings(heads=2, tokens=6000, context=100, steps=100_000, rows=128, seconds=2.0))
    assert 0 < made.steps < 5000
    assert made.seconds < 6


def test_labels_and_hidden_states_are_the_targets_own(model, tokenizer):
    states = _seen(model, tokenizer)
    answer = model(input_ids=states.tokens[:2], output_hidden_states=True)
    torch.testing.assert_close(states.hidden[:2].float(), answer.hidden_states[-1], atol=0.1, rtol=0.05)
    assert (states.labels[:2] == answer.logits.argmax(-1)).float().mean() > 0.95


def test_ranks_are_those_of_the_logits_and_end_where_the_text_departs(target, heads):
    torch.manual_seed(0)
    tokens, labels = torch.randint(0, 48, (2, 3, 12))
    labels[0, :6] = tokens[0, 1:7]
    states = Seen(torch.randn(3, 12, 64), tokens, labels)
    found = ranks_of(heads, states.states(3))
    row = 0
    for window in range(3):
        for place in range(12 - 3 - 1):
            logits = heads.logits(states.hidden[window, place][None], tokens[window, place + 1][None])[:, 0]
            for head in range(3):
                wanted = labels[window, place + 1 + head]
                if head and tokens[window, place + 1 + head] != labels[window, place + head]:
                    assert found[row, head] == UNASKED
                    continue
                rank = int((logits[head] > logits[head, wanted]).sum())
                assert found[row, head] == (rank if rank < 16 else MISSED)
            row += 1
    assert row == len(found)


def test_places_of_joined_states_are_those_of_their_windows():
    tokens = torch.arange(20).view(2, 10)
    one, other = Seen(tokens[..., None].float(), tokens, tokens + 100), Seen(tokens[..., None].float() + 50, tokens + 50, tokens + 150)
    joined = States.join([one.states(2), other.states(3, behind=4)])
    assert joined.tokens[joined.places].tolist() == [*range(7), *range(10, 17), 54, 55, 64, 65]
    assert torch.equal(joined.hidden[:, 0].long(), joined.tokens)
    assert torch.equal(joined.labels, joined.tokens + 100)
    first, last = one.split(1)
    assert (first.tokens.tolist(), last.tokens.tolist()) == ([list(range(10))], [list(range(10, 20))])


def test_the_target_writes_what_plain_decoding_writes(target):
    windows = torch.randint(0, 48, (40, 80), generator=torch.Generator().manual_seed(0))
    decoder = open_decoder(target, 110)
    clock = Clock(0, 1e12, lambda *_: None)
    written = said(decoder, windows, clock, 1.0, seed=5)
    assert written.shape == (40, 64 + 47)
    assert torch.equal(written[:, :64], windows[:, :64])
    assert written[:32, 64:].tolist() == generate(target, windows[:32, :64], max_new_tokens=47).tokens
    assert written[32:, 64:].tolist() == generate(target, windows[32:, :64], max_new_tokens=47, sampling=Sampling(0.8), seed=6).tokens
    assert decoder.length == 0
    assert len(said(open_decoder(target, 70), windows, clock, 1.0, seed=0)) == 0
    assert len(said(decoder, windows, clock, -1.0, seed=0)) == 0


def test_heads_learn_from_the_targets_own_words(model, tokenizer):
    told = []
    made = train(model, tokenizer, TEXT, SMALL, lambda done, total, label: told.append(label), open_decoder(model, 120))
    assert "generate text with the target" in told
    assert made.tokens > 5000
    assert made.top_k[0][0] > 0.05


def test_no_held_out_document_is_trained_on(monkeypatch):
    split = {"train": [("json/decoder.py", "one"), ("test/test_json.py", "two")], "held-out": [("ast.py", "three")]}
    monkeypatch.setattr(training, "documents_of", lambda name: iter(split[name]))
    assert corpus().text == "one"


def test_a_text_that_is_too_short_is_refused(model, tokenizer):
    with pytest.raises(RequestError, match="longer text"):
        train(model, tokenizer, Corpus("short", "def f(): pass " * 30), SMALL)


def test_a_target_that_breaks_is_named(tiny_llama_dir, tokenizer):
    broken = load_model(tiny_llama_dir, dtype=torch.float32)
    with torch.no_grad():
        broken.model.norm.weight.fill_(float("nan"))
    with pytest.raises(RunFailed, match="contain NaN or Inf"):
        train(broken, tokenizer, TEXT, SMALL)


def test_what_progress_raises_ends_the_training(model, tokenizer):
    def cancel(done, _total, _label):
        if done > 400:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        train(model, tokenizer, TEXT, SMALL, cancel)
