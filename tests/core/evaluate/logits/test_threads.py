"""Windows on several threads: the order of the items, bounded look-ahead, errors told, torch's threads given back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from core.evaluate.logits.threads import in_order, one_thread


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, 2, 4, 9])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item * item

    assert list(in_order(slow_first, range(20), workers)) == [item * item for item in range(20)]


def test_torchs_threads_are_divided_among_the_workers_and_given_back() -> None:
    assert set(in_order(lambda _: torch.get_num_threads(), range(8), 2)) == {2}
    assert set(in_order(lambda _: torch.get_num_threads(), range(8), 4)) == {1}
    assert torch.get_num_threads() == 4
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4


def test_no_more_items_are_begun_than_workers_and_the_one_in_hand() -> None:
    begun: list[int] = []
    results = in_order(begun.append, range(50), 3)
    for taken in range(1, 20):
        next(results)
        time.sleep(0.002)
        assert len(begun) <= taken + 3


def test_an_error_is_raised_where_its_result_would_have_been() -> None:
    def fail_at_three(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    results = in_order(fail_at_three, range(10), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_a_caller_that_leaves_early_leaves_no_thread_behind() -> None:
    results = in_order(lambda item: item, range(10), 2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("windows")]
    assert torch.get_num_threads() == 4
