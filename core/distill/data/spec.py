"""What can be asked of `llmopt distill-data`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import model_validator

from core.engine_access import check_address
from core.sanitize import clean
from core.spec import Spec, option, short_name

LanguageRule = Literal["as-prompt", "any", "english", "chinese"]


class DistillDataSpec(Spec):
    """Have a teacher answer prompts, filter the answers, write a training file."""

    capability: ClassVar[str] = "distill-data"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        ("teacher", ("model", "engine", "served_model", "key_env", "insecure")),
        ("prompts", ("seeds", "system", "limit", "samples")),
        ("answers", ("max_tokens", "temperature", "top_p", "send_seed", "seed", "answers")),
        ("requests", ("concurrency", "retries", "timeout", "silence", "price_in", "price_out")),
        ("filters", ("language", "near_duplicates", "held_out_share", "held_out")),
    )

    model: Annotated[str, option("Teacher: URL of a running server, for example http://127.0.0.1:8000 (`llmopt serve` starts one)", min_length=1)]
    engine: Annotated[str, option("Engine behind the URL; openai: any server with OpenAI's protocol", min_length=1)] = "openai"
    served_model: Annotated[str | None, option("Served model name; default: the first that the server lists")] = None
    key_env: Annotated[
        str | None,
        option("Environment variable that holds the server's key; default: OPENAI_API_KEY for https, unless insecure", pattern=r"^[A-Za-z_]\w*$"),
    ] = None
    insecure: Annotated[bool, option("Accept an untrusted certificate from the server")] = False

    seeds: Annotated[str, option("Seed tasks: a JSONL file with prompt or messages, and perhaps system, per line", min_length=1)]
    system: Annotated[str | None, option("System message of seeds without one of their own; default: none")] = None
    limit: Annotated[int | None, option("Seeds to read, from the first; default: all", ge=1)] = None
    samples: Annotated[int, option("Answers per prompt", ge=1, le=1000)] = 1

    max_tokens: Annotated[int, option("Maximum length of an answer", "token", ge=1, le=2**20)] = 1024
    temperature: Annotated[float, option("Temperature of the teacher; 0: the likeliest token", ge=0, le=10)] = 0.7
    top_p: Annotated[float, option("Sample from the likeliest tokens of this total probability", gt=0, le=1)] = 1.0
    send_seed: Annotated[bool, option("Send a random seed with each request, derived from seed; not every server accepts one")] = False
    answers: Annotated[
        str | None, option("File that answers are appended to, and whose answers to the same requests are reused; default: in the run's folder")
    ] = None

    concurrency: Annotated[int, option("Maximum requests in flight", ge=1, le=4096)] = 16
    retries: Annotated[int, option("Retries of a failed request, after growing pauses", ge=0, le=100)] = 4
    timeout: Annotated[float, option("Timeout of a request", "second", gt=0, le=86400)] = 600.0
    silence: Annotated[float, option("Timeout between chunks of a response", "second", gt=0, le=86400)] = 120.0
    price_in: Annotated[float | None, option("Price per million prompt tokens, in any currency", ge=0)] = None
    price_out: Annotated[float | None, option("Price per million generated tokens", ge=0)] = None

    language: Annotated[LanguageRule, option("Language of an answer that is kept; as-prompt: written in the script of its prompt")] = "as-prompt"
    near_duplicates: Annotated[
        float, option("Remove an example whose 5-grams have this Jaccard similarity to an earlier one's; 1: only equal sets", "1", gt=0, le=1)
    ] = 0.8
    held_out_share: Annotated[float, option("Share of the prompts that is set aside as held-out.jsonl and never trained on", "1", ge=0, lt=1)] = 0.05
    held_out: Annotated[str | None, option("UTF-8 text or JSONL file, for example an evaluation set, that training must not repeat")] = None

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if not self.model.startswith(("http://", "https://")):
            raise ValueError(
                f"{clean(self.model, limit=80)} is not the address of a server: start one with `llmopt serve`, then give its URL with http:// or https://"
            )
        check_address(self.model, "the teacher")
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("the cost needs both prices: give price-in and price-out")
        if self.samples > 1 and not self.temperature:
            raise ValueError(f"{self.samples} samples of temperature 0 are all the same: raise temperature or set samples to 1")
        return self

    def summary(self) -> str:
        """`tasks.jsonl, 1024 tokens, T 0.7`: the prompts and how they are answered."""
        several = f", {self.samples} answers each" if self.samples > 1 else ""
        return clean(f"{short_name(self.seeds)}{several}, {self.max_tokens} tokens, T {self.temperature:g}", limit=100)
