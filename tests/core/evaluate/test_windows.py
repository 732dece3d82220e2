"""Which targets are scored, given what: the convention behind every perplexity."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import RequestError
from core.evaluate.windows import windows_of


def test_windows_stand_side_by_side_and_the_rest_is_dropped() -> None:
    cut = windows_of(torch.arange(11), 4)
    assert cut.tokens.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert cut.scored_positions().tolist() == [1, 2, 3, 5, 6, 7]
    assert cut.n_scored == 6


def test_a_batch_of_one_row_is_a_row() -> None:
    assert torch.equal(windows_of(torch.arange(8)[None], 4).tokens, windows_of(torch.arange(8), 4).tokens)


def test_a_stride_of_the_context_is_no_stride() -> None:
    assert torch.equal(windows_of(torch.arange(11), 4, 4).tokens, windows_of(torch.arange(11), 4).tokens)


def test_llama_cpp_scores_the_second_half_behind_a_bos() -> None:
    """llama.cpp/tools/perplexity: first = n_ctx/2, targets first+1 to n_ctx-1, the first token of each chunk replaced by BOS."""
    cut = windows_of(torch.arange(1, 1100), 512, scoring="llama.cpp", bos=0)
    assert cut.tokens[:, 0].tolist() == [0, 0]
    assert cut.tokens[1, 1:3].tolist() == [514, 515]
    assert cut.n_scored == 2 * 255
    assert cut.scored_positions()[:2].tolist() == [257, 258]


def test_the_row_given_is_left_alone_by_a_bos() -> None:
    row = torch.arange(5, 13)
    windows_of(row, 4, bos=0)
    assert row.tolist() == list(range(5, 13))


@given(st.integers(2, 12), st.data())
def test_overlapping_windows_score_every_token_but_the_first_once_with_enough_before_it(context: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, context - 1))
    length = data.draw(st.integers(context, 60))
    cut = windows_of(torch.arange(length), context, stride)
    assert sorted(cut.scored_positions().tolist()) == list(range(1, length))
    assert cut.n_scored == length - 1
    for window, begin, first in zip(cut.tokens, cut.begin.tolist(), cut.first_target.tolist(), strict=True):
        assert window.tolist() == list(range(begin, begin + context))
        assert first >= (1 if begin == 0 else context - stride)


@pytest.mark.parametrize(("length", "context", "stride"), [(3, 4, None), (8, 1, None), (8, 4, 0), (8, 4, 5)])
def test_what_makes_no_windows_is_refused(length: int, context: int, stride: int | None) -> None:
    with pytest.raises(RequestError, match="context"):
        windows_of(torch.arange(length), context, stride)
