"""What can be asked of `llmopt kv-cache-pages`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from core.spec import Spec, applies, unit

Mode = Literal["decode", "simulate"]
Trace = Literal["poisson", "fixed", "file"]

_DECODE = {"mode": ("decode",)}
_SIMULATE = {"mode": ("simulate",)}


class PagesSpec(Spec):
    """Watch a paged KV cache: a real decode of several sequences, or a simulated scheduler at the size of the model."""

    capability: ClassVar[str] = "kv-cache-pages"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        ("what", ("model", "mode", "block_size", "blocks", "context")),
        ("decode", ("requests", "samples", "at_once", "system_tokens", "prompt_tokens", "new_tokens", "temperature", "text", "compare")),
        (
            "simulation",
            (
                "size",
                "trace",
                "trace_file",
                "arrivals",
                "rate",
                "input_tokens",
                "output_tokens",
                "gpu",
                "tensor_parallel",
                "bandwidth",
                "memory",
                "tflops",
            ),
        ),
        ("scheduler", ("weights", "kv", "most_sequences", "batch_tokens")),
        ("where", ("device", "seed")),
    )

    mode: Annotated[Mode, Field(description="decode: run the model; simulate: estimate step times without running it")] = "decode"
    block_size: Annotated[int, Field(description="Tokens per block", ge=1, le=512, json_schema_extra=unit("token"))] = 16
    blocks: Annotated[
        int | None,
        Field(description="Blocks in the pool; default: few enough to run short (decode), or as many as memory holds (simulate)", ge=2, le=2**31),
    ] = None
    context: Annotated[
        int | None,
        Field(
            description="Length reserved by contiguous caches; default: the model's, or the longest request",
            ge=2,
            le=2**31,
            json_schema_extra=unit("token"),
        ),
    ] = None

    requests: Annotated[int, Field(description="Prompts", ge=1, le=64, json_schema_extra=applies("sequence", **_DECODE))] = 12
    samples: Annotated[
        int, Field(description="Samples per fourth prompt, sharing its blocks", ge=1, le=8, json_schema_extra=applies("sequence", **_DECODE))
    ] = 3
    at_once: Annotated[int, Field(description="Sequences decoded together", ge=1, le=32, json_schema_extra=applies("sequence", **_DECODE))] = 6
    system_tokens: Annotated[
        int, Field(description="Prefix tokens shared by all prompts", ge=0, le=65536, json_schema_extra=applies("token", **_DECODE))
    ] = 72
    prompt_tokens: Annotated[
        int,
        Field(description="Maximum prompt tokens after the prefix; lengths vary", ge=1, le=65536, json_schema_extra=applies("token", **_DECODE)),
    ] = 96
    new_tokens: Annotated[
        int, Field(description="Maximum new tokens of a sequence; lengths vary", ge=1, le=65536, json_schema_extra=applies("token", **_DECODE))
    ] = 96
    temperature: Annotated[
        float, Field(description="0 is greedy, so that all samples are equal", ge=0, le=10, json_schema_extra=applies("1", **_DECODE))
    ] = 0.8
    text: Annotated[str, Field(description="Text to cut prompts from: builtin or a UTF-8 file", json_schema_extra=applies(**_DECODE))] = "builtin"
    compare: Annotated[
        bool, Field(description="Decode the same batches on contiguous caches too, and compare the outputs", json_schema_extra=applies(**_DECODE))
    ] = True

    size: Annotated[
        str | None,
        Field(
            description="Known model to simulate instead of the model, for example llama-3.1-8b; its files are not needed",
            json_schema_extra=applies(**_SIMULATE),
        ),
    ] = None
    trace: Annotated[Trace, Field(description="When requests arrive", json_schema_extra=applies(**_SIMULATE))] = "poisson"
    trace_file: Annotated[
        str | None,
        Field(
            description="JSONL, one request per line: arrival_s, prompt_tokens, output_tokens",
            json_schema_extra=applies(mode=("simulate",), trace=("file",)),
        ),
    ] = None
    arrivals: Annotated[
        int, Field(description="Requests", ge=1, le=100_000, json_schema_extra=applies("1", mode=("simulate",), trace=("poisson", "fixed")))
    ] = 256
    rate: Annotated[
        float, Field(description="Arrivals per second", gt=0, le=1e6, json_schema_extra=applies("1", mode=("simulate",), trace=("poisson", "fixed")))
    ] = 8.0
    input_tokens: Annotated[
        int,
        Field(
            description="Mean prompt tokens",
            ge=1,
            le=2**24,
            json_schema_extra=applies("token", mode=("simulate",), trace=("poisson", "fixed")),
        ),
    ] = 512
    output_tokens: Annotated[
        int,
        Field(
            description="Mean output tokens",
            ge=1,
            le=2**24,
            json_schema_extra=applies("token", mode=("simulate",), trace=("poisson", "fixed")),
        ),
    ] = 256
    gpu: Annotated[
        str, Field(description="GPU by name, for example h100, a100-80, 4090; `this` for the machine's own", json_schema_extra=applies(**_SIMULATE))
    ] = "h100"
    tensor_parallel: Annotated[int, Field(description="Tensor-parallel GPUs", ge=1, le=1024, json_schema_extra=applies("1", **_SIMULATE))] = 1
    bandwidth: Annotated[
        float | None,
        Field(description="Memory bandwidth of a GPU in GB/s, overriding the data sheet", gt=0, le=1e6, json_schema_extra=applies("1", **_SIMULATE)),
    ] = None
    memory: Annotated[
        float | None,
        Field(description="Memory of a GPU in GiB, overriding the data sheet", gt=0, le=1e5, json_schema_extra=applies("1", **_SIMULATE)),
    ] = None
    tflops: Annotated[
        float | None,
        Field(
            description="16-bit TFLOP/s of a GPU, overriding the data sheet",
            gt=0,
            le=1e6,
            json_schema_extra=applies("1", **_SIMULATE),
        ),
    ] = None

    weights: Annotated[str, Field(description="Format of the weights", json_schema_extra=applies(**_SIMULATE))] = "bf16"
    kv: Annotated[str, Field(description="Format of the KV cache", json_schema_extra=applies(**_SIMULATE))] = "fp16"
    most_sequences: Annotated[
        int, Field(description="Maximum sequences in a batch", ge=1, le=65536, json_schema_extra=applies("sequence", **_SIMULATE))
    ] = 64
    batch_tokens: Annotated[
        int, Field(description="Maximum tokens in a step, with chunked prefill", ge=1, le=2**20, json_schema_extra=applies("token", **_SIMULATE))
    ] = 2048

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if self.mode == "simulate" and self.trace == "file" and not self.trace_file:
            raise ValueError("trace file needs trace-file: a JSONL file with arrival_s, prompt_tokens and output_tokens per line")
        if self.mode == "simulate" and self.batch_tokens < self.most_sequences:
            raise ValueError(
                f"batch-tokens {self.batch_tokens} are fewer than one token for each of most-sequences {self.most_sequences}: raise batch-tokens"
            )
        if self.mode == "decode" and self.samples > self.at_once:
            raise ValueError(
                f"{self.samples} samples of a prompt are decoded together, but at-once is {self.at_once}: raise at-once or lower samples"
            )
        return self

    def summary(self) -> str:
        """What is shown; a simulation is labelled as one."""
        return "pages of a decode" if self.mode == "decode" else "simulation of a scheduler"
