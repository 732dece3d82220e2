"""What can be asked of `llmopt speculate`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import model_validator

from core.sanitize import clean
from core.spec import Dtype, Spec, option, short_name
from core.speculate.simulate.simulate import LARGEST_GAMMA

DrafterName = Literal["model", "lookup", "layers", "medusa"]
Acceptance = Literal["exact", "typical"]
Task = Literal["continue", "edit"]

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
        DrafterName, option("Drafter: a small model, prompt lookup (n-grams), the target's own layers with some skipped, or Medusa heads")
    ] = "model"
    draft: Annotated[
        str | None, option("Draft model, with the target's vocabulary; bundled:draft for bundled:base", when={"drafter": ("model",)})
    ] = None
    gamma: Annotated[tuple[int, ...], option("Draft tokens per round; several values are tried in turn", min_length=1, max_length=16)] = (4,)
    ngram_min: Annotated[int, option("Shortest n-gram to look up", "token", when={"drafter": ("lookup",)}, ge=1, le=64)] = 2
    ngram_max: Annotated[int, option("Longest n-gram to look up, tried first", "token", when={"drafter": ("lookup",)}, ge=1, le=64)] = 5
    keep_layers: Annotated[
        int | None,
        option(
            "Blocks of the target used for drafting, from both ends, skipping the middle; default: half of them",
            when={"drafter": ("layers",)},
            ge=1,
            le=4096,
        ),
    ] = None
    skip_layers: Annotated[
        tuple[int, ...], option("Blocks to skip while drafting, numbered from 0, instead of keep-layers", when={"drafter": ("layers",)})
    ] = ()
    medusa_heads: Annotated[str | None, option("Folder of trained Medusa heads; default: trained in this run", when={"drafter": ("medusa",)})] = None
    acceptance: Annotated[
        Acceptance,
        option(
            "exact keeps the target's distribution; typical, Medusa's own rule, is lossy: it accepts tokens that are likely enough",
            when={"drafter": ("medusa",)},
        ),
    ] = "exact"
    top_p: Annotated[float, option("Top-p: keep the most likely tokens up to this cumulative probability; 1 keeps all", gt=0, le=1)] = 1.0
    top_k: Annotated[int, option("Top-k: keep this many of the most likely tokens; 0 keeps all", "token", ge=0, le=2**24)] = 0
    min_p: Annotated[float, option("Min-p: keep tokens with at least this fraction of the top token's probability", ge=0, lt=1)] = 0.0
    repetition_penalty: Annotated[
        float, option("Repetition penalty for tokens already in the text, drafted tokens included; 1 is off", gt=0, le=10)
    ] = 1.0
    dtype: Annotated[Dtype, option("Dtype of the models; auto: float32 on a CPU, the checkpoint's on a GPU")] = "auto"
    threads: Annotated[
        int, option("CPU threads for torch; 0: one for a small model, whose operations are too short to parallelize, otherwise all", ge=0, le=4096)
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
    """Nothing, when each can be sampled at. Raises ValueError: one is negative or not finite, or is listed twice."""
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
        tuple[float, ...], option("Sampling temperature, 0 is greedy; several values are tried in turn", min_length=1, max_length=16)
    ] = (0.0,)
    text: Annotated[str, option("Text to cut prompts from: builtin (held-out code) or a UTF-8 file", min_length=1)] = "builtin"
    task: Annotated[Task, option("continue: continue a piece of the text; edit: rewrite the piece with one name changed, from its first lines")] = (
        "continue"
    )
    prompt: Annotated[str | None, option("Your own prompt instead of pieces of the text")] = None
    prompts: Annotated[int, option("Prompts", ge=1, le=4096)] = 8
    prompt_tokens: Annotated[int, option("Tokens of a prompt", "token", ge=1, le=1048576)] = 128
    tokens: Annotated[int, option("Tokens to generate for each prompt", "token", ge=4, le=1048576)] = 128
    batch: Annotated[int, option("Prompts decoded together", "sequence", ge=1, le=MOST_BATCH)] = 1
    repeats: Annotated[int, option("Repeats of each setting, alternating with plain decoding", ge=1, le=100)] = 2

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        check_temperatures(self.temperature)
        if self.prompt is not None and not self.prompt:
            raise ValueError("the prompt is empty: give at least one character, or omit it to use pieces of the text")
        if self.batch > 1 and self.drafter == "medusa":
            raise ValueError(f"Medusa's trees are verified one sequence at a time: batch must be 1, got {self.batch}")
        return self
