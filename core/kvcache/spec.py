"""What can be asked of `llmopt kv-cache`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import field_validator, model_validator

from core.kvcache.catalog.catalog import REFERENCE, SCHEMES, unknown
from core.kvcache.catalog.head_names import head_names, wrong_heads
from core.kvcache.catalog.settings import SchemeSettings
from core.sanitize import clean
from core.spec import Dtype, Spec, Threads, listed, option

KEPT_BYTES = 2**30
"""Most bytes of the full cache's predictions that a run keeps; where they need more they are computed again next to each scheme."""
DEFAULT_SCHEMES = tuple(facts.name for facts in SCHEMES.values() if not facts.needs_cuda)


class KvCacheSpec(Spec):
    """Measure cache schemes on the same model and text: memory, speed, perplexity through the cache, retrieval."""

    capability: ClassVar[str] = "kv-cache"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        ("schemes", ("model", "schemes", "heads")),
        ("sizes", ("group", "residual", "budget", "sinks", "block")),
        ("text", ("text", "context", "prompt", "windows", "batch")),
        ("needle", ("needle", "needle_depths", "needle_trials")),
        ("speed", ("steps", "repeats")),
        ("arithmetic", ("dtype", "threads", "device", "seed")),
    )

    schemes: Annotated[tuple[str, ...], option("Cache schemes to compare with the full cache, or all", min_length=1, max_length=64)] = DEFAULT_SCHEMES
    heads: Annotated[
        tuple[str, ...], option("KV-head variants of the model to measure too: mha, mqa, gqa-N with N groups, or all", max_length=16)
    ] = ()
    group: Annotated[int, option("Quantized schemes: values per scale", ge=1, le=4096)] = 32
    residual: Annotated[int, option("KIVI: most recent tokens kept unquantized", "token", ge=0, le=65536)] = 128
    budget: Annotated[int, option("Evicting schemes: tokens kept per block", "token", ge=2, le=2**20)] = 256
    sinks: Annotated[int, option("StreamingLLM: first tokens that are never evicted", "token", ge=0, le=65536)] = 4
    block: Annotated[int, option("Paged: tokens per page", "token", ge=1, le=4096)] = 16
    text: Annotated[str, option("Text to measure on: builtin or a UTF-8 file", min_length=1)] = "builtin"
    context: Annotated[
        int | None,
        option("Tokens of a window, prompt and scored tokens together; default: the model's context, at most 1024", "token", ge=8, le=2**20),
    ] = None
    prompt: Annotated[
        int | None, option("First tokens of a window, prefilled and not scored; default: half of the context", "token", ge=1, le=2**20)
    ] = None
    windows: Annotated[int, option("Windows of text to score", "sequence", ge=1, le=65536)] = 4
    batch: Annotated[int, option("Windows decoded together", "sequence", ge=1, le=4096)] = 8
    needle: Annotated[bool, option("Test retrieval of an assignment that appears once in the text")] = True
    needle_depths: Annotated[
        tuple[int, ...], option("Position of the assignment in the text, 0 at its start, 100 at its end", min_length=1, max_length=32)
    ] = (10, 30, 50, 70, 90)
    needle_trials: Annotated[int, option("Texts per depth", "sequence", ge=1, le=1024)] = 4
    steps: Annotated[int, option("Timed single-token steps per repeat", "step", ge=4, le=65536)] = 32
    repeats: Annotated[int, option("Timed repeats, alternating with the full cache", ge=1, le=1000)] = 3
    threads: Threads = None
    dtype: Annotated[Dtype, option("Dtype of the model; auto: float32 on a CPU, the checkpoint's on a GPU")] = "auto"

    _listed = field_validator("schemes", "heads", "needle_depths", mode="before")(listed)

    @field_validator("schemes")
    @classmethod
    def _known_schemes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "all" in names:
            return tuple(SCHEMES)
        for name in names:
            if name not in SCHEMES:
                raise ValueError(unknown(name))
        return tuple(dict.fromkeys(names))

    @field_validator("heads")
    @classmethod
    def _known_heads(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if (complaint := wrong_heads(name)) is not None:
                raise ValueError(complaint)
        return tuple(dict.fromkeys(names))

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if any(not 0 <= depth <= 100 for depth in self.needle_depths) or len(set(self.needle_depths)) < len(self.needle_depths):
            raise ValueError("needle-depths must be distinct whole numbers from 0 to 100")
        if self.context is not None and self.prompt is not None and self.prompt >= self.context:
            raise ValueError(f"a prompt of {self.prompt} tokens leaves nothing to score in a window of {self.context}: lower prompt or raise context")
        if self.sinks >= self.budget:
            raise ValueError(f"sinks {self.sinks} leave nothing of a budget of {self.budget} tokens: lower sinks or raise the budget")
        return self

    def summary(self) -> str:
        """`cache scheme kivi-4`, `13 cache schemes`."""
        return f"cache scheme {clean(str(self.schemes[0]), limit=60)}" if len(self.schemes) == 1 else f"{len(self.schemes)} cache schemes"

    def settings(self, capacity: int | None = None, prompted: int | None = None) -> SchemeSettings:
        """The sizes that schemes read; with `capacity` and `prompted` as formulas want them."""
        own = {name: getattr(self, name) for name in ("group", "residual", "budget", "sinks", "block")}
        return SchemeSettings(**own, capacity=capacity, prompted=prompted)

    def context_of(self, context: int) -> int:
        """Tokens of a window on a model of that context."""
        return min(context, 1024) if self.context is None else self.context

    def prompt_of(self, context: int) -> int:
        """Prompt tokens of a window on a model of that context."""
        return max(self.context_of(context) // 2, 1) if self.prompt is None else self.prompt

    @property
    def together(self) -> int:
        """Windows decoded together."""
        return min(self.batch, self.windows)

    @property
    def measured(self) -> tuple[str, ...]:
        """The schemes, the full cache first."""
        return tuple(dict.fromkeys((REFERENCE, *self.schemes)))

    def variants(self, heads: int, kv_heads: int) -> tuple[str, ...]:
        """Names of the head variants on a model with that many query and key-value heads."""
        return head_names(self.heads, heads, kv_heads)
