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
        Field(description="Who drafts: a small model, n-grams found in the text, the target's own blocks with some left out, or Medusa heads"),
    ] = "model"
    draft: Annotated[
        str | None,
        Field(description="Draft model, with the target's vocabulary; bundled:draft for bundled:base", json_schema_extra=applies(drafter=("model",))),
    ] = None
    gamma: Annotated[
        tuple[int, ...], Field(description="Tokens drafted a round; several are tried one after the other", min_length=1, max_length=16)
    ] = (4,)
    ngram_min: Annotated[
        int, Field(description="Shortest n-gram that is looked up", ge=1, le=64, json_schema_extra=applies("token", drafter=("lookup",)))
    ] = 2
    ngram_max: Annotated[
        int, Field(description="Longest n-gram that is looked up, tried first", ge=1, le=64, json_schema_extra=applies("token", drafter=("lookup",)))
    ] = 5
    keep_layers: Annotated[
        int | None,
        Field(
            description="Blocks of the target that draft, from both ends, the middle left out; half of them when not given",
            ge=1,
            le=4096,
            json_schema_extra=applies(drafter=("layers",)),
        ),
    ] = None
    skip_layers: Annotated[
        tuple[int, ...],
        Field(
            description="Blocks to leave out of the draft, by number from 0, in place of keep-layers", json_schema_extra=applies(drafter=("layers",))
        ),
    ] = ()
    medusa_heads: Annotated[
        str | None,
        Field(description="Folder of trained Medusa heads; trained on the spot when not given", json_schema_extra=applies(drafter=("medusa",))),
    ] = None
    acceptance: Annotated[
        Acceptance,
        Field(
            description="exact keeps the target's distribution; typical, Medusa's own rule, is lossy: it takes what is likely enough",
            json_schema_extra=applies(drafter=("medusa",)),
        ),
    ] = "exact"
    top_p: Annotated[float, Field(description="Keep the likeliest tokens that together have this probability; 1 keeps all", gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(description="Keep so many of the likeliest tokens; 0 keeps all", ge=0, le=2**24, json_schema_extra=unit("token"))] = 0
    min_p: Annotated[float, Field(description="Keep tokens with at least this share of the likeliest token's probability", ge=0, lt=1)] = 0.0
    repetition_penalty: Annotated[
        float, Field(description="Make tokens that are in the text less likely; 1 leaves them alone, drafted tokens count as text", gt=0, le=10)
    ] = 1.0
    dtype: Annotated[Dtype, Field(description="Arithmetic of the models; auto: float32 on a CPU, the checkpoint's own on a GPU")] = "auto"
    threads: Annotated[
        int,
        Field(
            description="Processor cores that torch uses; 0: one for a small model, whose operations are too short to be shared, else all",
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
            raise ValueError("a draft model drafts, and none was named: give draft, a small model of the same family, or choose drafter lookup")
        for gamma in self.gamma:
            if not 1 <= gamma <= LARGEST_GAMMA:
                raise ValueError(f"gamma {gamma} cannot be: draft 1 to {LARGEST_GAMMA} tokens a round")
        if len(set(self.gamma)) < len(self.gamma):
            raise ValueError("gamma names a number twice: name each once")
        if self.ngram_min > self.ngram_max:
            raise ValueError(f"ngram-min {self.ngram_min} is more than ngram-max {self.ngram_max}: lower it")
        if self.keep_layers is not None and self.skip_layers:
            raise ValueError("keep-layers and skip-layers both say which blocks draft: give one of them")
        if any(layer < 0 for layer in self.skip_layers) or len(set(self.skip_layers)) < len(self.skip_layers):
            raise ValueError("skip-layers are different block numbers from 0 on")
        if self.acceptance == "typical" and self.drafter != "medusa":
            raise ValueError("typical acceptance is Medusa's: choose drafter medusa, or acceptance exact, which loses nothing")
        return self


def check_temperatures(temperatures: tuple[float, ...]) -> None:
    """Nothing, when each can be sampled at.

    Raises:
        ValueError: one is negative or not finite, or stands there twice.
    """
    for temperature in temperatures:
        if not 0 <= temperature <= 100 or math.isnan(temperature):
            raise ValueError(f"temperature {temperature:g} cannot be: give 0, which is greedy, to 100")
    if len(set(temperatures)) < len(temperatures):
        raise ValueError("temperature names a number twice: name each once")


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
        tuple[float, ...], Field(description="Temperature of sampling, 0 greedy; several are tried one after the other", min_length=1, max_length=16)
    ] = (0.0,)
    text: Annotated[str, Field(description="Text that prompts are cut from: builtin (held-out code) or a UTF-8 file", min_length=1)] = "builtin"
    task: Annotated[
        Task,
        Field(description="continue: go on with a piece of the text; edit: write the piece again, one name changed, from its first lines on"),
    ] = "continue"
    prompt: Annotated[str | None, Field(description="A prompt of your own in place of pieces of the text")] = None
    prompts: Annotated[int, Field(description="Prompts", ge=1, le=4096)] = 8
    prompt_tokens: Annotated[int, Field(description="Tokens of a prompt", ge=1, le=1048576, json_schema_extra=unit("token"))] = 128
    tokens: Annotated[int, Field(description="Tokens to generate for each prompt", ge=4, le=1048576, json_schema_extra=unit("token"))] = 128
    batch: Annotated[int, Field(description="Prompts decoded together", ge=1, le=MOST_BATCH, json_schema_extra=unit("sequence"))] = 1
    repeats: Annotated[int, Field(description="Times that each setting is measured, in turns with plain decoding", ge=1, le=100)] = 2

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        check_temperatures(self.temperature)
        if self.prompt is not None and not self.prompt:
            raise ValueError("the prompt is empty: give at least one character, or leave it out to take pieces of the text")
        if self.batch > 1 and self.drafter == "medusa":
            raise ValueError(f"Medusa's trees are verified for one sequence at a time: give batch 1, not {self.batch}")
        return self
