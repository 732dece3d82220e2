"""What can be asked of `llmopt speculate-test`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from core.spec import unit
from core.speculate.spec import DRAFTER_FIELDS, SAMPLING_FIELDS, DraftingSpec, check_temperatures


class SpeculateTestSpec(DraftingSpec):
    """Test that speculation changes nothing: its samples against the target's own distribution, and greedy texts against plain greedy decoding."""

    capability: ClassVar[str] = "speculate-test"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        DRAFTER_FIELDS,
        SAMPLING_FIELDS,
        ("test", ("draws", "model_draws", "prompts", "prompt_tokens", "tokens", "text", "confidence")),
        ("machine", ("device", "dtype", "threads", "seed")),
    )

    temperature: Annotated[float, Field(description="Temperature of the sampled texts", gt=0, le=100)] = 0.8
    top_p: Annotated[float, Field(description="Top-p: keep the most likely tokens up to this cumulative probability; 1 keeps all", gt=0, le=1)] = 0.9
    draws: Annotated[int, Field(description="Texts sampled over a toy vocabulary of 50 tokens with a known distribution", ge=1000, le=10**8)] = (
        100_000
    )
    model_draws: Annotated[
        int, Field(description="Tokens sampled from the model itself; 0 skips this part", ge=0, le=10**8, json_schema_extra=unit("token"))
    ] = 8000
    prompts: Annotated[int, Field(description="Prompts decoded greedily with and without speculation", ge=0, le=4096)] = 20
    prompt_tokens: Annotated[int, Field(description="Tokens of a prompt", ge=1, le=1048576, json_schema_extra=unit("token"))] = 64
    tokens: Annotated[int, Field(description="Tokens to generate for each prompt", ge=1, le=1048576, json_schema_extra=unit("token"))] = 64
    text: Annotated[str, Field(description="Text to cut prompts from: builtin (held-out code) or a UTF-8 file", min_length=1)] = "builtin"
    confidence: Annotated[
        float, Field(description="Minimum probability that an exact implementation passes the whole test", ge=0.5, lt=1, json_schema_extra=unit("1"))
    ] = 0.99

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        check_temperatures((self.temperature,))
        return self
