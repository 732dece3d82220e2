"""A decoder that looks a word up exactly, as far back as it may, is the oracle of the needles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from core import text
from core.errors import RequestError
from core.evaluate.encoding import encode
from core.formats.opening import tokenizer_of
from core.kvcache.measure.needle import CANDIDATES, Needles, make_needles, retrieve
from core.models.load import load_tokenizer
from core.models.resolve import resolve
from core.runtime.cache import KvCache
from core.runtime.caches.static import StaticKvLayer

DEPTHS = (5, 50, 95)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tokenizer_of(resolve("bundled:base"))


@pytest.fixture(scope="module")
def tokens(tokenizer: Any) -> Tensor:
    return encode(text.builtin("held-out"), tokenizer, 4000).tokens


@pytest.fixture(scope="module")
def needles(tokenizer: Any, tokens: Tensor) -> Needles:
    return make_needles(tokenizer, tokens, DEPTHS, 6, 1024, 0)


class LookUp:
    """Predicts what followed the last tokens when they stood in the text before, at most `sight` tokens back; chance where they did not."""

    device = torch.device("cpu")
    length = 4

    def __init__(self, vocabulary: int, rows: int, sight: int) -> None:
        self.vocabulary, self.sight = vocabulary, sight
        self.batch, self.rows = rows, [list[int]() for _ in range(rows)]
        self.cache = KvCache([StaticKvLayer(1)])

    def reset(self, batch: int) -> None:
        assert self.rows == [[] for _ in range(batch)]

    def forward(self, tokens: Tensor, *, last: bool = False, real: Tensor | None = None) -> Tensor:
        assert last
        assert real is None
        for row, new in zip(self.rows, tokens.tolist(), strict=True):
            row += new
        return torch.stack([self._predict(row) for row in self.rows])[:, None]

    def _predict(self, row: list[int]) -> Tensor:
        logits = torch.zeros(self.vocabulary)
        seen, asked = row[-self.sight :], row[-self.length :]
        for at in range(len(seen) - self.length - 1, -1, -1):
            if seen[at : at + self.length] == asked:
                logits[seen[at + self.length]] = 20.0
                break
        return logits


def looked_up(tokenizer: Any, needles: Needles, sight: int) -> dict[int, float]:
    def decoder_for(rows: int) -> Any:
        return LookUp(len(tokenizer), rows, sight)

    open_one: Callable[[int], Any] = decoder_for
    return {figure.depth: figure.hit_rate for figure in retrieve(open_one, needles, 4, lambda count: None)}


def test_texts_are_equally_long_and_hold_the_value_once(needles: Needles, tokenizer: Any) -> None:
    assert needles.without.shape == (6, 512)
    assert needles.candidates.shape == (6, CANDIDATES)
    for rows in needles.at_depth.values():
        assert rows.shape == needles.without.shape
        for row, without, candidates in zip(rows, needles.without, needles.candidates, strict=True):
            assert int((row == candidates[0]).sum()) == 1
            assert not bool(torch.isin(without, candidates).any())
            assert torch.equal(row[-needles.fed :], without[-needles.fed :])
    assert '":' in tokenizer.decode(needles.without[0][-4:])
    assert needles.texts == 6 * 4


def test_the_needle_stands_at_its_depth(needles: Needles) -> None:
    for depth, rows in needles.at_depth.items():
        for row, candidates in zip(rows, needles.candidates, strict=True):
            assert int((row == candidates[0]).nonzero()) / 480 == pytest.approx(depth / 100, abs=0.05)


def test_who_remembers_all_finds_every_needle(tokenizer: Any, needles: Needles) -> None:
    assert looked_up(tokenizer, needles, 512) == {5: 1.0, 50: 1.0, 95: 1.0}


def test_who_forgets_finds_only_what_is_near(tokenizer: Any, needles: Needles) -> None:
    found = looked_up(tokenizer, needles, 100)
    assert found[95] == 1.0
    assert found[5] <= 2 / 6
    assert found[50] <= 2 / 6


def test_the_same_seed_hides_the_same_needles(tokenizer: Any, tokens: Tensor, needles: Needles) -> None:
    again = make_needles(tokenizer, tokens, DEPTHS, 6, 1024, 0)
    assert torch.equal(again.at_depth[50], needles.at_depth[50])
    assert not torch.equal(make_needles(tokenizer, tokens, DEPTHS, 6, 1024, 1).at_depth[50], needles.at_depth[50])


def test_words_of_a_sentencepiece_vocabulary_are_found_too(tokenizer: Any, tokens: Tensor, needles: Needles) -> None:
    class Marked:
        """The same vocabulary, written as SentencePiece does."""

        def __len__(self) -> int:
            return len(tokenizer)

        def __call__(self, words: str, **options: Any) -> Any:
            return tokenizer(words, **options)

        def convert_ids_to_tokens(self, token: int) -> str:
            return str(tokenizer.convert_ids_to_tokens(token)).replace("\u0120", "\u2581")

    assert torch.equal(make_needles(Marked(), tokens, DEPTHS, 6, 1024, 0).at_depth[5], needles.at_depth[5])


def test_a_window_without_room_is_refused(tokenizer: Any, tokens: Tensor) -> None:
    with pytest.raises(RequestError, match="no room for a needle"):
        make_needles(tokenizer, tokens, DEPTHS, 2, 32, 0)


def test_a_tokenizer_without_words_is_refused(tiny_llama_dir: Any, tokens: Tensor) -> None:
    with pytest.raises(RequestError, match="too few for needles"):
        make_needles(load_tokenizer(tiny_llama_dir), tokens, DEPTHS, 2, 512, 0)


@pytest.mark.slow
def test_the_bundled_model_finds_needles_far_above_chance(tokenizer: Any, tokens: Tensor) -> None:
    from core.formats.opening import open_whole
    from core.runtime.opening import open_decoder

    model = open_whole(resolve("bundled:base"), torch.float32)
    many = make_needles(tokenizer, tokens, (10, 50, 90), 12, 1024, 1)
    figures = retrieve(lambda rows: open_decoder(model, 512, batch=rows), many, 12, lambda count: None)
    assert all(figure.hit_rate >= 0.75 for figure in figures)
    assert all(figure.gain > 3 for figure in figures)
    assert many.convention.chance < 0.02
