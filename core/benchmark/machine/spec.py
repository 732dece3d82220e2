"""What can be asked of `llmopt benchmark-machine`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import field_validator, model_validator

from core.spec import Spec, Threads, listed, option

ProductDtype = Literal["float32", "bfloat16", "float16", "int8"]
DTYPES: tuple[str, ...] = get_args(ProductDtype)


class BenchmarkMachineSpec(Spec):
    """Measure this machine: matrix products, memory, and which products of a model are bound by which."""

    capability: ClassVar[str] = "benchmark-machine"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        ("products", ("model", "sizes", "dtypes", "repeats")),
        ("roofline", ("batches", "prompt_tokens", "memory_bytes")),
        ("machine", ("threads", "device", "seed")),
    )

    sizes: Annotated[tuple[int, ...], option("Sizes of the square matrices to multiply", min_length=1, max_length=32)] = (256, 512, 1024, 2048, 4096)
    dtypes: Annotated[tuple[str, ...], option(f"Number formats: {', '.join(DTYPES)}", min_length=1, max_length=len(DTYPES))] = (
        "float32",
        "bfloat16",
        "int8",
    )
    repeats: Annotated[int, option("Timed repeats of each product, after two untimed ones", ge=2, le=1000)] = 5
    batches: Annotated[tuple[int, ...], option("Sequences decoded together: rows of the model's products", min_length=1, max_length=32)] = (1, 8, 64)
    prompt_tokens: Annotated[int, option("Prompt tokens of the measured prefill", "token", ge=2, le=2**20)] = 512
    memory_bytes: Annotated[
        int | None, option("Bytes to copy and read; default: four times the last-level cache, at least 256 MiB", "byte", ge=4096, le=2**40)
    ] = None
    threads: Threads = None

    _listed = field_validator("sizes", "dtypes", "batches", mode="before")(listed)

    @model_validator(mode="after")
    def _can_be_measured(self) -> Self:
        for name, values, most in (("sizes", self.sizes, 32768), ("batches", self.batches, 65536)):
            if any(not 1 <= value <= most for value in values) or list(values) != sorted(set(values)):
                raise ValueError(f"{name} must be distinct whole numbers from 1 to {most}, ascending")
        if unknown := [name for name in self.dtypes if name not in DTYPES]:
            raise ValueError(f"{unknown[0][:40]!r} is not a number format that can be measured: choose from {', '.join(DTYPES)}")
        if len(set(self.dtypes)) < len(self.dtypes):
            raise ValueError("dtypes lists a number format twice")
        return self
