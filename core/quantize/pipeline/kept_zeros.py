"""What became of the zeros of a model that was pruned before: the share that is left, and a note."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.numerics.zeros import LEAST_SHARE
from core.quantize.result import LayerFigures


def sparsity_of(layers: Iterable[LayerFigures]) -> float | None:
    """Share of the weights of all linears that were zero and still are; None where no linear was pruned."""
    measured = [layer for layer in layers if layer.zeros is not None]
    if not any(_pruned(layer) for layer in measured):
        return None
    return sum(layer.zeros_kept or 0 for layer in measured) / sum(layer.rows * layer.columns for layer in measured)


def notes_on_zeros(layers: Iterable[LayerFigures]) -> list[str]:
    """One sentence where linears were pruned: that their zeros are kept, or how many are lost."""
    pruned = [layer for layer in layers if _pruned(layer)]
    if not pruned:
        return []
    weights = sum(layer.rows * layer.columns for layer in pruned)
    zeros, kept = sum(layer.zeros or 0 for layer in pruned), sum(layer.zeros_kept or 0 for layer in pruned)
    if kept == zeros:
        return [f"keeps its zeros: {100 * zeros / weights:.3g} % of the weights of {_linears(pruned)}"]
    return [
        f"{100 * (zeros - kept) / zeros:.3g} % of the zeros of {_linears(pruned)} became other values: "
        f"{100 * zeros / weights:.3g} % of their weights were zero, {100 * kept / weights:.3g} % are left; methods gptq, awq and rtn keep zeros"
    ]


def _pruned(layer: LayerFigures) -> bool:
    return layer.zeros is not None and layer.zeros >= LEAST_SHARE * layer.rows * layer.columns


def _linears(pruned: Sequence[LayerFigures]) -> str:
    return "1 pruned linear" if len(pruned) == 1 else f"{len(pruned)} pruned linears"
