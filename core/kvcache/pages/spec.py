"""What can be asked of `llmopt kv-cache-pages`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import model_validator

from core.spec import Spec, option

Mode = Literal["decode", "simulate"]
Trace = Literal["poisson", "fixed", "file"]

_DECODE = {"mode": ("decode",)}
_SIMULATE = {"mode": ("simulate",)}
_DRAWN = {"mode": ("simulate",), "trace": ("poisson", "fixed")}


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

    mode: Annotated[Mode, option("decode: run the model; simulate: estimate step times without running it")] = "decode"
    block_size: Annotated[int, option("Tokens per block", "token", ge=1, le=512)] = 16
    blocks: Annotated[
        int | None, option("Blocks in the pool; default: few enough to run short (decode), or as many as memory holds (simulate)", ge=2, le=2**31)
    ] = None
    context: Annotated[
        int | None, option("Length reserved by contiguous caches; default: the model's, or the longest request", "token", ge=2, le=2**31)
    ] = None

    requests: Annotated[int, option("Prompts", "sequence", when=_DECODE, ge=1, le=64)] = 12
    samples: Annotated[int, option("Samples per fourth prompt, sharing its blocks", "sequence", when=_DECODE, ge=1, le=8)] = 3
    at_once: Annotated[int, option("Sequences decoded together", "sequence", when=_DECODE, ge=1, le=32)] = 6
    system_tokens: Annotated[int, option("Prefix tokens shared by all prompts", "token", when=_DECODE, ge=0, le=65536)] = 72
    prompt_tokens: Annotated[int, option("Maximum prompt tokens after the prefix; lengths vary", "token", when=_DECODE, ge=1, le=65536)] = 96
    new_tokens: Annotated[int, option("Maximum new tokens of a sequence; lengths vary", "token", when=_DECODE, ge=1, le=65536)] = 96
    temperature: Annotated[float, option("0 is greedy, so that all samples are equal", "1", when=_DECODE, ge=0, le=10)] = 0.8
    text: Annotated[str, option("Text to cut prompts from: builtin or a UTF-8 file", when=_DECODE)] = "builtin"
    compare: Annotated[bool, option("Decode the same batches on contiguous caches too, and compare the outputs", when=_DECODE)] = True

    size: Annotated[
        str | None, option("Known model to simulate instead of the model, for example llama-3.1-8b; its files are not needed", when=_SIMULATE)
    ] = None
    trace: Annotated[Trace, option("When requests arrive", when=_SIMULATE)] = "poisson"
    trace_file: Annotated[
        str | None, option("JSONL, one request per line: arrival_s, prompt_tokens, output_tokens", when={"mode": ("simulate",), "trace": ("file",)})
    ] = None
    arrivals: Annotated[int, option("Requests", "1", when=_DRAWN, ge=1, le=100_000)] = 256
    rate: Annotated[float, option("Arrivals per second", "1", when=_DRAWN, gt=0, le=1e6)] = 8.0
    input_tokens: Annotated[int, option("Mean prompt tokens", "token", when=_DRAWN, ge=1, le=2**24)] = 512
    output_tokens: Annotated[int, option("Mean output tokens", "token", when=_DRAWN, ge=1, le=2**24)] = 256
    gpu: Annotated[str, option("GPU by name, for example h100, a100-80, 4090; `this` for the machine's own", when=_SIMULATE)] = "h100"
    tensor_parallel: Annotated[int, option("Tensor-parallel GPUs", "1", when=_SIMULATE, ge=1, le=1024)] = 1
    bandwidth: Annotated[float | None, option("Memory bandwidth of a GPU in GB/s, overriding the data sheet", "1", when=_SIMULATE, gt=0, le=1e6)] = (
        None
    )
    memory: Annotated[float | None, option("Memory of a GPU in GiB, overriding the data sheet", "1", when=_SIMULATE, gt=0, le=1e5)] = None
    tflops: Annotated[float | None, option("16-bit TFLOP/s of a GPU, overriding the data sheet", "1", when=_SIMULATE, gt=0, le=1e6)] = None

    weights: Annotated[str, option("Format of the weights", when=_SIMULATE)] = "bf16"
    kv: Annotated[str, option("Format of the KV cache", when=_SIMULATE)] = "fp16"
    most_sequences: Annotated[int, option("Maximum sequences in a batch", "sequence", when=_SIMULATE, ge=1, le=65536)] = 64
    batch_tokens: Annotated[int, option("Maximum tokens in a step, with chunked prefill", "token", when=_SIMULATE, ge=1, le=2**20)] = 2048

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
