"""What `estimate`, `recommend` and `kv-cache-fit` have in common: their options and the machine to plan for."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from core.hardware.plan.machine import Machine

Model = Annotated[
    str, Parameter(help="Model: bundled:base, a folder, a .gguf file, a Hugging Face id, a config.json, or a size: 7B, size:llama-3.1-8b")
]
Gpu = Annotated[str | None, Parameter(help="Plan for this GPU instead of this machine's, for example h100, a100-80, l40s, 4090")]
Gpus = Annotated[int, Parameter(help="Number of --gpu")]
Json = Annotated[bool, Parameter(help="Print one JSON document", negative="", show_default=False)]


def machine_of(gpu: str | None, gpus: int) -> Machine:
    """This machine, or as it would be with named GPUs."""
    here = Machine.here()
    return here if gpu is None else here.with_gpus(gpu, gpus)
