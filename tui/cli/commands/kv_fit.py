"""`llmopt kv-cache-fit`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from core.errors import RequestError
from core.hardware.plan.estimate import Place
from core.hardware.plan.machine import Machine
from core.kvcache.catalog.fit import Fit, fit, machine_of_memory
from core.measure.units import size
from core.models.well_known import planned_card
from tui.cli.planning import Gpu, Json, Model
from tui.cli.printing.output import narrate, print_document, print_facts, print_table


def kv_cache_fit(
    model: Model,
    /,
    *,
    context: Annotated[int | None, Parameter(help="Tokens per sequence; default: 4096, at most the model's")] = None,
    concurrency: Annotated[int, Parameter(help="Sequences at once")] = 1,
    weights: Annotated[
        str | None, Parameter(help="Format of the weights, or `stored` for the files as they are; default: bf16, stored for a quantized model")
    ] = None,
    gpu: Gpu = None,
    memory: Annotated[float | None, Parameter(help="Plan for a GPU with this many GiB of memory instead")] = None,
    tensor_parallel: Annotated[int, Parameter(help="Tensor-parallel GPUs")] = 1,
    place: Annotated[Place | None, Parameter(help="Plan for the GPU or for main memory; default: the GPU if there is one")] = None,
    json: Json = False,
) -> int:
    """Estimate bytes per token for each KV-cache scheme, and the largest context and concurrency that fit this machine or a named GPU."""
    answer = fit(
        planned_card(model),
        _machine(gpu, memory, tensor_parallel),
        context=context,
        concurrency=concurrency,
        weights=weights,
        tensor_parallel=tensor_parallel,
        place=place,
    )
    if json:
        print_document("kv-cache-fit", answer.to_json())
    else:
        _print(answer)
    return 0


def _machine(gpu: str | None, memory: float | None, gpus: int) -> Machine:
    if gpu is not None and memory is not None:
        raise RequestError("gpu and memory are alternatives: give one of them")
    here = Machine.here()
    if memory is not None:
        return machine_of_memory(memory, gpus, here)
    return here if gpu is None else here.with_gpus(gpu, gpus)


def _print(answer: Fit) -> None:
    each = f", on each of {answer.tensor_parallel} GPUs" if answer.tensor_parallel > 1 else ""
    left = f"{size(answer.room)} for the cache" if answer.room >= 0 else f"{size(-answer.room)} short, even without a cache"
    print_facts(
        [
            ("model", answer.model),
            ("on", f"{answer.device}, {size(answer.capacity)}{each}"),
            ("weights", f"{size(answer.weights_bytes)}: {answer.weights_how}"),
            ("left", left),
            ("figures", "estimates, not measurements; keys and values in 16 bits unless a scheme says otherwise"),
        ]
    )
    print()
    rows = [
        (
            row.scheme,
            f"{row.bytes_per_token / 1024:,.2f}",
            size(row.bytes),
            "yes" if row.fits else "no",
            f"{row.largest_context:,}",
            f"{row.largest_concurrency:,}",
            "evicts" if row.evicts else "all" if row.lossless else "rounded",
        )
        for row in answer.rows
        if row.bytes is not None and row.bytes_per_token is not None
    ]
    head = ("scheme", "KiB/token", "bytes", "fits", "context", "sequences", "keeps")
    print_table(rows, head, right=(1, 2, 4, 5), shrink=())
    print()
    print_facts(
        [
            ("bytes", f"of {answer.concurrency:,} at once, {answer.context:,} tokens each"),
            ("context", f"most tokens of a sequence at {answer.concurrency:,} at once; the model's own is {answer.model_context:,}"),
            ("sequences", f"most at once of {answer.context:,} tokens"),
        ]
    )
    for note in (*answer.notes, *(row.refused for row in answer.rows if row.refused is not None)):
        narrate(f"note: {note}")
