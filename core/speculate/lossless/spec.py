"""What can be asked of `llmopt speculate-test`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from core.spec import option
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

    temperature: Annotated[float, option("Temperature of the sampled texts", gt=0, le=100)] = 0.8
    top_p: Annotated[float, option("Top-p: keep the most likely tokens up to this cumulative probability; 1 keeps all", gt=0, le=1)] = 0.9
    draws: Annotated[int, option("Texts sampled over a toy vocabulary of 50 tokens with a known distribution", ge=1000, le=10**8)] = 100_000
    model_draws: Annotated[int, option("Tokens sampled from the model itself; 0 skips this part", "token", ge=0, le=10**8)] = 8000
    prompts: Annotated[int, option("Prompts decoded greedily with and without speculation", ge=0, le=4096)] = 20
    prompt_tokens: Annotated[int, option("Tokens of a prompt", "token", ge=1, le=1048576)] = 64
    tokens: Annotated[int, option("Tokens to generate for each prompt", "token", ge=1, le=1048576)] = 64
    text: Annotated[str, option("Text to cut prompts from: builtin (held-out code) or a UTF-8 file", min_length=1)] = "builtin"
    confidence: Annotated[float, option("Minimum probability that an exact implementation passes the whole test", "1", ge=0.5, lt=1)] = 0.99

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        check_temperatures((self.temperature,))
        return self
