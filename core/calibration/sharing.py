"""Let several devices work on the linears of a block at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def devices_of(device: torch.device) -> list[torch.device]:
    """The devices that share the work where `device` was asked for: all CUDA devices when no single one was named, else it alone."""
    if device.type != "cuda" or device.index is not None:
        return [device]
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]


def shared(work: Callable[[Item, torch.device], Result], items: Sequence[Item], devices: Sequence[torch.device]) -> Iterator[Result]:
    """`work` of each item, in the order of the items; every device has at most one item in its hands.

    With one device everything happens in the calling thread, each item when it is asked for. The first error ends the work:
    what has not begun is not begun any more.
    """
    if len(devices) < 2 or len(items) < 2:
        yield from (work(item, devices[0]) for item in items)
        return
    free: SimpleQueue[torch.device] = SimpleQueue()
    for device in devices:
        free.put(device)

    def run(item: Item) -> Result:
        device = free.get()
        try:
            return work(item, device)
        finally:
            free.put(device)

    pool = ThreadPoolExecutor(min(len(devices), len(items)), "device")
    try:
        waiting = [pool.submit(run, item) for item in items]
        for future in waiting:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
