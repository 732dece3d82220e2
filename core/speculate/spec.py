"""What can be asked of `llmopt speculate`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from core.sanitize import clean
from core.spec import Spec, applies, short_name, unit
from core.speculate.simulate.simulate import LARGEST_GAMMA

DrafterName = Literal["model", "lookup", "layers", "medusa"]
Acceptance = Literal["exact", "typical"]
Task = Literal["continue", "edit"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]

DRAFTERS: Mapping[str, str] = {"model": "draft model", "lookup": "n-gram lookup", "layers": "layer skipping", "medusa": "Medusa heads"}
"""What drafters are called."""
BUNDLED_PAIRS = {"bundled:base": "bundled:draft"}
"""Draft models that are taken by themselves."""
MOST_BATCH = 1024

DRAFTER_FIELDS = (
    "drafter",
    ("model", "drafter", "draft", "gamma", "ngram_min", "ngram_max", "keep_layers", "skip_layers", "medusa_heads", "acceptance"),
)
SAMPLING_FIELDS = ("sampling", ("temperature", "top_p", "top_k", "min_p", "repetition_penalty"))


class DraftingSpec(Spec):
    """What every experiment with a drafter has in common."""

    drafter: Annotated[
        DrafterName,
        Field(description="Drafter: a small model, prompt lookup (n-grams), the target's own layers with some skipped, or Medusa heads"),
    ] = "model"
    draft: Annotated[
        str | None,
        Field(description="Draft model, with the target's vocabulary; bundled:draft for bundled:base", json_schema_extra=applies(drafter=("model",))),
    ] = None
    gamma: Annotated[tuple[int, ...], Field(description="Draft tokens per round; several values are tried in turn", min_length=1, max_length=16)] = (
        4,
    )
    ngram_min: Annotated[
        int, Field(description="Shortest n-gram to look up", ge=1, le=64, json_schema_extra=applies("token", drafter=("lookup",)))
    ] = 2
    ngram_max: Annotated[
        int, Field(description="Longest n-gram to look up, tried first", ge=1, le=64, json_schema_extra=applies("token", drafter=("lookup",)))
    ] = 5
    keep_layers: Annotated[
        int | None,
        Field(
            description="Blocks of the target used for drafting, from both ends, skipping the middle; default: half of them",
            ge=1,
            le=4096,
            json_schema_extra=applies(drafter=("layers",)),
        ),
    ] = None
    skip_layers: Annotated[
        tuple[int, ...],
        Field(description="Blocks to skip while drafting, numbered from 0, instead of keep-layers", json_schema_extra=applies(drafter=("layers",))),
    ] = ()
    medusa_heads: Annotated[
        str | None,
        Field(description="Folder of trained Medusa heads; default: trained in this run", json_schema_extra=applies(drafter=("medusa",))),
    ] = None
    acceptance: Annotated[
        Acceptance,
        Field(
            description="exact keeps the target's distribution; typical, Medusa's own rule, is lossy: it accepts tokens that are likely enough",
            json_schema_extra=applies(drafter=("medusa",)),
        ),
    ] = "exact"
    top_p: Annotated[float, Field(description="Top-p: keep the most likely tokens up to this cumulative probability; 1 keeps all", gt=0, le=1)] = 1.0
    top_k: Annotated[
        int, Field(description="Top-k: keep this many of the most likely tokens; 0 keeps all", ge=0, le=2**24, json_schema_extra=unit("token"))
    ] = 0
    min_p: Annotated[float, Field(description="Min-p: keep tokens with at least this fraction of the top token's probability", ge=0, lt=1)] = 0.0
    repetition_penalty: Annotated[
        float, Field(description="Repetition penalty for tokens already in the text, drafted tokens included; 1 is off", gt=0, le=10)
    ] = 1.0
    dtype: Annotated[Dtype, Field(description="Dtype of the models; auto: float32 on a CPU, the checkpoint's on a GPU")] = "auto"
    threads: Annotated[
        int,
        Field(
            description="CPU threads for torch; 0: one for a small model, whose operations are too short to parallelize, otherwise all",
            ge=0,
            le=4096,
        ),
    ] = 0

    def summary(self) -> str:
        """Drafter, gammas and temperatures: `bundled:draft, γ 2 4, T 0`."""
        named = short_name(self.draft or "") if self.drafter == "model" else ""
        parts = [named or DRAFTERS.get(self.drafter, clean(str(self.drafter), limit=20)), f"γ {' '.join(map(str, self.gamma))}"]
        temperature: float | tuple[float, ...] | None = getattr(self, "temperature", None)
        if temperature is not None:
            parts.append(f"T {' '.join(f'{each:.3g}' for each in (temperature if isinstance(temperature, tuple | list) else (temperature,)))}")
        return clean(", ".join(parts), limit=200)

    @model_validator(mode="before")
    @classmethod
    def _pairs_know_each_other(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("drafter", "model") == "model" and values.get("draft") is None:
            return values | {"draft": BUNDLED_PAIRS.get(str(values.get("model")))}
        return values

    @model_validator(mode="after")
    def _drafting_fits_together(self) -> Self:
        if self.drafter == "model" and self.draft is None:
            raise ValueError("drafter model needs a draft model: give draft, a small model of the same family, or choose drafter lookup")
        for gamma in self.gamma:
            if not 1 <= gamma <= LARGEST_GAMMA:
                raise ValueError(f"gamma must be between 1 and {LARGEST_GAMMA}, got {gamma}")
        if len(set(self.gamma)) < len(self.gamma):
            raise ValueError("gamma lists a value twice: list each once")
        if self.ngram_min > self.ngram_max:
            raise ValueError(f"ngram-min {self.ngram_min} is more than ngram-max {self.ngram_max}: lower it")
        if self.keep_layers is not None and self.skip_layers:
            raise ValueError("keep-layers and skip-layers both choose the drafting blocks: give one of them")
        if any(layer < 0 for layer in self.skip_layers) or len(set(self.skip_layers)) < len(self.skip_layers):
            raise ValueError("skip-layers must be distinct block numbers from 0")
        if self.acceptance == "typical" and self.drafter != "medusa":
            raise ValueError("typical acceptance needs Medusa: choose drafter medusa, or acceptance exact, which is lossless")
        return self


def check_temperatures(temperatures: tuple[float, ...]) -> None:
    """Nothing, when each can be sampled at.

    Raises:
        ValueError: one is negative or not finite, or stands there twice.
    """
    for temperature in temperatures:
        if not 0 <= temperature <= 100 or math.isnan(temperature):
            raise ValueError(f"temperature must be between 0 (greedy) and 100, got {temperature:g}")
    if len(set(temperatures)) < len(temperatures):
        raise ValueError("temperature lists a value twice: list each once")


class SpeculateSpec(DraftingSpec):
    """Decode with and without speculation in the same run, and measure acceptance, costs and speed-up."""

    capability: ClassVar[str] = "speculate"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        DRAFTER_FIELDS,
        SAMPLING_FIELDS,
        ("prompts", ("text", "task", "prompt", "prompts", "prompt_tokens", "tokens", "batch")),
        ("measurement", ("repeats", "device", "dtype", "threads", "seed")),
    )

    temperature: Annotated[
        tuple[float, ...], Field(description="Sampling temperature, 0 is greedy; several values are tried in turn", min_length=1, max_length=16)
    ] = (0.0,)
    text: Annotated[str, Field(description="Text to cut prompts from: builtin (held-out code) or a UTF-8 file", min_length=1)] = "builtin"
    task: Annotated[
        Task,
        Field(description="continue: continue a piece of the text; edit: rewrite the piece with one name changed, from its first lines"),
    ] = "continue"
    prompt: Annotated[str | None, Field(description="Your own prompt instead of pieces of the text")] = None
    prompts: Annotated[int, Field(description="Prompts", ge=1, le=4096)] = 8
    prompt_tokens: Annotated[int, Field(description="Tokens of a prompt", ge=1, le=1048576, json_schema_extra=unit("token"))] = 128
    tokens: Annotated[int, Field(description="Tokens to generate for each prompt", ge=4, le=1048576, json_schema_extra=unit("token"))] = 128
    batch: Annotated[int, Field(description="Prompts decoded together", ge=1, le=MOST_BATCH, json_schema_extra=unit("sequence"))] = 1
    repeats: Annotated[int, Field(description="Repeats of each setting, alternating with plain decoding", ge=1, le=100)] = 2

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        check_temperatures(self.temperature)
        if self.prompt is not None and not self.prompt:
            raise ValueError("the prompt is empty: give at least one character, or omit it to use pieces of the text")
        if self.batch > 1 and self.drafter == "medusa":
            raise ValueError(f"Medusa's trees are verified one sequence at a time: batch must be 1, got {self.batch}")
        return self
