"""The tabs, as data. A pane's module is imported when the tab is first opened."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.widget import Widget


@dataclass(frozen=True)
class PaneEntry:
    """One tab: the key that opens it, its id and title, and `module:Class` of the widget that fills it."""

    key: str
    id: str
    title: str
    module: str
    summary: str

    def load(self) -> type[Widget]:
        """Import the pane's class. It is constructed without arguments and finds its services at `self.app.services`."""
        module, _, name = self.module.partition(":")
        pane: type[Widget] = getattr(importlib.import_module(module), name)
        return pane


PANES = (
    PaneEntry("1", "hardware", "Hardware", "tui.hardware.pane:HardwarePane", "Live hardware, memory estimate, advice"),
    PaneEntry("2", "quantize", "Quantize", "tui.quantize.pane:QuantizePane", "Fewer bits per weight, quality measured"),
    PaneEntry("3", "distill", "Distill", "tui.distill.pane:DistillPane", "A student learns what its teacher predicts, gain measured"),
    PaneEntry("4", "prune", "Prune", "tui.prune.pane:PrunePane", "Fewer weights, channels, heads or blocks, quality and speed measured"),
    PaneEntry("5", "kv-cache", "KV-cache", "tui.kvcache.pane:KvCachePane", "Cache schemes, live pages, what fits"),
    PaneEntry(
        "6", "speculate", "Speculative", "tui.speculate.pane:SpeculatePane", "Tokens drafted cheaply, verified by the model: faster, same output"
    ),
    PaneEntry("7", "benchmark", "Benchmark", "tui.benchmark.pane:BenchmarkPane", "Load-test a server, compare servers"),
)


def tab_of(capability: str) -> PaneEntry | None:
    """The tab of a capability, that of `quantize` also for `quantize-compare`; None where no tab has it."""
    return next((row for row in PANES if capability == row.id or capability.startswith(f"{row.id}-")), None)


def entry(pane_id: str) -> PaneEntry:
    """The row of a pane.

    Raises:
        KeyError: there is no such pane.
    """
    for row in PANES:
        if row.id == pane_id:
            return row
    raise KeyError(pane_id)
