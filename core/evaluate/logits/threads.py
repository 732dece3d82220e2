"""Work on several windows at once, one processor core each.

Small models lose much of a core to the hand-overs inside each operation, and far more when another program is busy on
the same cores: threads that wait for each other spin. Windows need no hand-over, and a figure that one thread computed
does not depend on the number of cores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """`function` of each item, in the order of the items.

    At most `workers` results are computed or waiting besides the one in the caller's hands. torch's threads are divided among the workers.
    """
    threads = torch.get_num_threads()
    workers = min(workers, threads, len(items))
    if workers < 2:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(workers, "windows", lambda: torch.set_num_threads(max(threads // workers, 1)))
    try:
        waiting: deque[Future[Result]] = deque()
        coming = iter(items)
        waiting.extend(pool.submit(function, item) for item in islice(coming, workers))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(coming, 1))
            yield result
            del result
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


@contextmanager
def torch_threads(count: int | None) -> Iterator[int]:
    """torch computes with so many threads, None: with as many as it does. Yields the number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def one_thread() -> AbstractContextManager[int]:
    """torch computes in the calling thread alone."""
    return torch_threads(1)
