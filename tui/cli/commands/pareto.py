"""`llmopt pareto`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from core.runs.figures import show
from core.runs.pareto import Quality, Size, models
from core.runs.pareto import pareto as find
from tui.cli.printing.output import narrate, print_document, print_table
from tui.cli.printing.results import convention

_HEADS = {
    "bits_per_weight": "bits/weight",
    "bits_per_quantized_weight": "bits/quantized weight",
    "bytes_after": "size",
    "ppl_ratio": "ppl ratio",
    "kl_mean": "KL, nat",
}


def pareto(
    model: Annotated[str, Parameter(help="Model, as named in the runs: bundled:base, a folder or a Hugging Face id")],
    /,
    *,
    quality: Annotated[Quality, Parameter(help="Quality metric")] = "ppl_ratio",
    size: Annotated[Size, Parameter(help="Size metric")] = "bits_per_weight",
    json: Annotated[bool, Parameter(help="Print one JSON document", negative="", show_default=False)] = False,
) -> int:
    """Compare all finished quantizations and prunings of a model by size and quality, and mark the Pareto front."""
    found = find(model, size, quality)
    if json:
        print_document("pareto", found.to_json())
        return 0
    if found.points:
        cells = [
            (
                "*" if point.on_frontier else "" if point.checkpoint else "○",
                point.title if point.runs == 1 else f"{point.title} ×{point.runs}",
                show(size, point.size),
                show(quality, point.quality) + ("" if point.error is None else f" ± {point.error:.2g}"),
                point.run.partition("-")[2],  # its end names a run as well as the whole
            )
            for point in found.points
        ]
        print_table(cells, ("", "recipe", _HEADS[size], _HEADS[quality], "run"), right=(2, 3), shrink=(1,))
        narrate("* no other run is as small and better beyond noise; repeats that differ by noise alone are one row")
        if not all(point.checkpoint for point in found.points):
            narrate("○ measured in a comparison, which kept no checkpoint: never on the front")
        if found.convention is not None:
            narrate(f"measured on {convention(found.convention)}")
    else:
        others = ", ".join(name for name in models() if name != found.model)
        narrate(
            f"no finished quantization or pruning of {found.model}"
            + (f": finished ones exist for {others}" if others else f": `llmopt quantize {found.model}`")
        )
    for note in found.notes:
        narrate(f"note: {note}")
    return 0
