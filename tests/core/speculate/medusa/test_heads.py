import pytest
import torch

from core.errors import RequestError
from core.speculate.medusa.heads import MedusaHeads


def test_untrained_heads_say_what_the_target_says(target):
    heads = MedusaHeads.on(target, 3, 16)
    hidden = torch.randn(5, 64)
    logits = heads.logits(hidden, torch.arange(5))
    assert logits.shape == (3, 5, 48)
    torch.testing.assert_close(logits, target.lm_head(hidden).expand(3, -1, -1))


def test_candidates_are_the_likeliest_of_each_head(target, heads):
    hidden = torch.randn(64)
    found = heads.candidates(hidden, 7, 5)
    expected = heads.logits(hidden[None], torch.tensor([7]))[:, 0].topk(5).indices
    assert torch.equal(found, expected)
    assert torch.equal(heads.candidates(hidden, 7, 5, 2), expected[:2])


def test_the_chosen_token_is_read(target, heads):
    hidden = torch.randn(64)
    assert not torch.equal(heads.logits(hidden[None], torch.tensor([7])), heads.logits(hidden[None], torch.tensor([8])))


def test_only_the_blocks_are_the_heads_own(target, heads):
    names = set(heads.state_dict())
    assert names == {f"{part}.{head}.weight" for part in ("first", "second") for head in range(3)} | {f"first.{head}.bias" for head in range(3)}
    assert sum(parameter.numel() for parameter in heads.parameters()) == 3 * (128 * 32 + 32 + 32 * 64)


def test_a_target_whose_head_reads_something_else_is_refused(target):
    class Odd:
        device = torch.device("cpu")

        def get_output_embeddings(self):
            return torch.nn.Linear(8, 4)

        def get_input_embeddings(self):
            return torch.nn.Embedding(4, 6)

    with pytest.raises(RequestError, match="another drafter"):
        MedusaHeads.on(Odd(), 2)
