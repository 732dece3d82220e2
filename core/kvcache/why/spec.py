"""What can be asked of `llmopt kv-cache-why`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import field_validator, model_validator

from core.spec import Dtype, Spec, Threads, listed, option


class KvCacheWhySpec(Spec):
    """Generate with a cache and without one: time per token, keys and values computed, growth with the length."""

    capability: ClassVar[str] = "kv-cache-why"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        ("lengths", ("model", "lengths", "repeats", "text")),
        ("arithmetic", ("dtype", "threads", "device", "seed")),
    )

    lengths: Annotated[tuple[int, ...], option("Sequence lengths in tokens to compare at", min_length=3, max_length=64)] = (
        10,
        25,
        50,
        100,
        200,
        350,
        500,
    )
    repeats: Annotated[int, option("Timed repeats, alternating", ge=1, le=1000)] = 2
    text: Annotated[str, option("Input text: builtin or a UTF-8 file", min_length=1)] = "builtin"
    threads: Threads = None
    dtype: Annotated[Dtype, option("Dtype of the model; auto: float32 on a CPU, the checkpoint's on a GPU")] = "auto"

    _listed = field_validator("lengths", mode="before")(listed)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if any(length < 2 for length in self.lengths) or list(self.lengths) != sorted(set(self.lengths)):
            raise ValueError("lengths must be distinct whole numbers from 2, ascending")
        return self

    def summary(self) -> str:
        """The same for all lengths."""
        return "with and without a cache"
