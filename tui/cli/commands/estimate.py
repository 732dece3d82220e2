"""`llmopt estimate`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from core.hardware.plan.estimate import Estimate, FormatLine, Place
from core.hardware.plan.estimate import estimate as estimate_memory
from core.measure.units import size
from core.models.well_known import planned_card
from tui.cli.planning import Gpu, Gpus, Json, Model, machine_of
from tui.cli.printing.output import narrate, print_document, print_facts, print_table


def estimate(
    model: Model,
    /,
    *,
    context: Annotated[
        int | None, Parameter(help="Tokens per sequence, prompt and output together; default: 4096, or the model's if shorter")
    ] = None,
    concurrency: Annotated[int, Parameter(help="Sequences at once")] = 1,
    weights: Annotated[
        str | None, Parameter(help="Format of the weights, or `stored` for the files as they are; default: bf16, stored for a quantized model")
    ] = None,
    kv: Annotated[str, Parameter(help="Format of the KV cache")] = "fp16",
    tensor_parallel: Annotated[int, Parameter(help="Tensor-parallel GPUs")] = 1,
    place: Annotated[Place | None, Parameter(help="Plan for the GPU or for main memory; default: the GPU if there is one")] = None,
    gpu: Gpu = None,
    gpus: Gpus = 1,
    json: Json = False,
) -> int:
    """Estimate the memory a model needs on this machine or on a named GPU, and what fits."""
    machine = machine_of(gpu, max(gpus, tensor_parallel) if gpu is not None else gpus)
    card = planned_card(model)
    tokens = min(4096, card.context) if context is None else context
    answer = estimate_memory(
        card, machine, context=tokens, concurrency=concurrency, weights=weights, kv=kv, tensor_parallel=tensor_parallel, place=place
    )
    if json:
        print_document("estimate", answer.to_json())
    else:
        _print(answer)
    return 0


def _print(answer: Estimate) -> None:
    each = f", on each of {answer.tensor_parallel} GPUs" if answer.tensor_parallel > 1 else ""
    print_facts([("model", answer.model), ("on", f"{answer.device}, {size(answer.capacity)}{each}"), ("figures", "estimates, not measurements")])
    print()
    rows = [(line.name, size(line.bytes), line.how) for line in (*answer.lines, answer.kept_free)]
    rows.append(("left" if answer.fits else "missing", size(abs(answer.left)), "fits" if answer.fits else "does not fit"))
    print_table(rows, right=(1,), shrink=(2,))
    print()
    print_facts(
        [
            (f"largest context at {answer.concurrency} at once", f"{answer.largest_context:,} tokens"),
            (f"most at once at {answer.context:,} tokens", f"{answer.largest_concurrency:,} sequences"),
        ]
    )
    print()
    _print_formats("weights as", answer.weight_formats)
    print()
    _print_formats("KV cache as", answer.kv_formats)
    for note in answer.notes:
        narrate(f"note: {note}")


def _print_formats(name: str, lines: tuple[FormatLine, ...]) -> None:
    rows = [(line.format, size(line.bytes), f"{line.bits:.2f}", "yes" if line.fits else "no", line.how) for line in lines]
    print_table(rows, (name, "size", "bits", "fits", "how"), right=(1, 2), shrink=(4,))
