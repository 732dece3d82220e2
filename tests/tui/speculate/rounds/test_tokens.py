"""Tokens as text with signs: nothing gets lost, every token has its sign, most of the screen stands still."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from core.speculate.events import PromptEvent, RoundEvent
from tui.speculate.rounds import tokens
from tui.widgets.live import Line

PROMPT = PromptEvent(prompt=0, row=0, text="def f(x):\n    '''Do.'''", gamma=4, temperature=0.0, drafter="model", first="\N{RETURN SYMBOL}")


def plain(line: Line) -> str:
    return "".join(text for text, _ in line)


def round_of(drafted: tuple[str, ...], accepted: int, n: int = 0) -> RoundEvent:
    refused = accepted < len(drafted)
    return RoundEvent(n=n, drafted=drafted, accepted=accepted, corrected="C" if refused else None, bonus=None if refused else "B")


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cf")), min_size=1, max_size=6)
ROUNDS = st.lists(
    st.lists(TEXTS, max_size=6).flatmap(lambda drafted: st.integers(0, len(drafted)).map(lambda accepted: round_of(tuple(drafted), accepted))),
    max_size=12,
)


def test_every_token_of_a_round_is_told_with_what_became_of_it() -> None:
    found = [(token.text, token.kind) for token in tokens.tokens_of(round_of(("a", "b", "c", "d"), 1))]
    assert found == [("a", "accepted"), ("b", "rejected"), ("c", "dropped"), ("d", "dropped"), ("C", "corrected")]
    found = [(token.text, token.kind) for token in tokens.tokens_of(round_of(("a", "b"), 2))]
    assert found == [("a", "accepted"), ("b", "accepted"), ("B", "bonus")]


def test_drafts_behind_the_end_of_the_text_were_not_judged() -> None:
    ended = RoundEvent(n=0, drafted=("a", "b", "c"), accepted=1, ended="length")
    assert [token.kind for token in tokens.tokens_of(ended)] == ["accepted", "dropped", "dropped"]


def test_the_signs_are_told_apart_without_colours() -> None:
    assert len(set(tokens.SIGNS.values())) == len(tokens.SIGNS)
    legend = "\n".join(plain(line) for line in tokens.legend(30))
    for kind, sign in tokens.SIGNS.items():
        assert f"{sign} {tokens.MEANINGS[kind]}" in legend


def test_a_sign_stands_below_the_first_cell_of_its_token_also_behind_wide_characters() -> None:
    (block,) = tokens.flow(None, [round_of(("日本", "xyz", "w"), 2)], 40)
    text, signs = map(plain, block)
    assert text == "日本xyzwC"
    assert signs == "✓   ✓  ✗→"


def test_a_line_feed_of_the_text_breaks_the_line_and_one_that_was_rejected_does_not() -> None:
    feed = tokens.LINE_FEED
    lines = [plain(block[0]) for block in tokens.flow(PROMPT, [round_of(("a", feed, "b"), 3), round_of((feed, "c"), 0)], 40)]
    assert lines == ["def f(x):", f"    '''Do.'''{feed}", f"a{feed}", f"bB{feed}cC"]


@given(ROUNDS, st.integers(2, 60))
@example([round_of((tokens.TAB,), 0)], 2)
def test_the_flow_holds_every_token_in_order_within_the_width(rounds: list[RoundEvent], width: int) -> None:
    blocks = tokens.flow(PROMPT, rounds, width)
    assert all(cell_len(plain(line)) <= width for block in blocks for line in block)
    written = "".join(plain(block[0]) for block in blocks)
    expected = PROMPT.text.replace("\n", "") + PROMPT.first + "".join(token.text for each in rounds for token in tokens.tokens_of(each))
    assert written == expected.replace(tokens.TAB, tokens.TAB.ljust(tokens.TAB_CELLS))
    signs = "".join(plain(block[1]) for block in blocks if len(block) > 1).replace(" ", "")
    wanted = [tokens.SIGNS[token.kind] for each in rounds for token in tokens.tokens_of(each) if cell_len(token.text[0])]
    assert list(signs) == wanted


@given(ROUNDS, st.integers(12, 80))
def test_a_round_takes_one_line_that_fits(rounds: list[RoundEvent], width: int) -> None:
    blocks = tokens.listed(rounds, width)
    assert [len(block) for block in blocks] == [1] * len(rounds)
    assert all(cell_len(plain(block[0])) <= width for block in blocks)


@given(st.lists(st.integers(1, 2), max_size=80), st.integers(2, 20))
def test_the_window_ends_with_the_last_block_and_moves_seldom(sizes: list[int], height: int) -> None:
    blocks = [tuple((((f"{at}.{row}", ""),)) for row in range(size)) for at, size in enumerate(sizes)]
    moves, before = 0, ""
    for count in range(1, len(blocks) + 1):
        shown = tokens.window(blocks[:count], height)  # type: ignore[arg-type]
        assert len(shown) <= height
        assert shown[-len(blocks[count - 1]) :] == list(blocks[count - 1])
        moves += plain(shown[0]) != before
        before = plain(shown[0])
    assert moves <= 1 + sum(sizes) / max(height // 2 - 1, 1)


def test_nothing_is_shown_of_nothing() -> None:
    assert tokens.flow(None, [], 40) == []
    assert tokens.window([], 10) == []
