"""What is foreseen of a request, told before anything starts."""

from __future__ import annotations

from core.speculate.forecast import ASSUMED_ALPHA, SpeculateFit
from core.speculate.spec import DraftingSpec
from tui.widgets import words


def lines(spec: DraftingSpec, found: SpeculateFit) -> tuple[tuple[str, str], ...]:
    """What is foreseen, in words."""
    gamma = spec.gamma[0]
    if spec.drafter == "medusa":
        gain = "not predicted: the heads' acceptance is measured in the run"
    else:
        gain = f"{found.predicted_speedup:.2f} times plain decoding at γ {gamma}, {ASSUMED_ALPHA:.0%} acceptance assumed"
    drafting = f"c {words.figure(found.cost_ratio, 3)} from the weights read" if found.cost_ratio else "c next to nothing"
    cost = f"{drafting}, v 1 assumed"
    free = "" if found.memory_available is None else f", {words.size(found.memory_available)} free"
    return (
        ("estimate", gain),
        ("", cost),
        ("", f"{words.size(found.peak_memory_bytes)} peak memory{free}"),
    )
