"""What can be asked of `llmopt benchmark`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from core.engine_access import check_address
from core.sanitize import clean
from core.spec import Spec, option

LoadKind = Literal["one", "concurrency", "constant", "poisson", "gamma", "ramp", "trace", "sweep"]
SweepOver = Literal["concurrency", "rate"]
PACED: tuple[LoadKind, ...] = ("constant", "poisson", "gamma")


def parts_of(value: Any, mark: str = ",") -> Any:
    """`a, b`, as a form's entry and a saved text have it, in parts, which may have spaces."""
    return tuple(part.strip() for part in value.split(mark) if part.strip()) if isinstance(value, str) else value


class BenchmarkSpec(Spec):
    """Load-test one server, started for it or already running."""

    capability: ClassVar[str] = "benchmark"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        ("target", ("model", "engine", "served_model", "style", "key_env", "insecure")),
        (
            "load",
            ("load", "concurrency", "rate", "burstiness", "ramp_to", "trace", "trace_speed", "sweep", "levels", "requests", "duration", "warmup"),
        ),
        (
            "texts",
            (
                "prompts",
                "input_tokens",
                "input_deviation",
                "output_tokens",
                "output_deviation",
                "shared_prefix",
                "tokenizer",
                "ignore_eos",
                "temperature",
            ),
        ),
        ("limits", ("timeout", "silence", "retries", "workers")),
        ("verdict", ("objectives", "thresholds", "baseline", "price", "quality_tokens", "text", "quality_reference", "choices")),
        ("machine", ("device", "dtype", "quantization", "context", "threads", "seed")),
    )

    model: Annotated[str, option("Model to serve, or the URL of a running server, for example http://127.0.0.1:8000", min_length=1)]
    engine: Annotated[str | None, option("Engine that serves the model or runs behind the URL; default: runtime for a model, openai for a URL")] = (
        None
    )
    served_model: Annotated[str | None, option("Served model name; default: the first that the server lists")] = None
    style: Annotated[Literal["auto", "chat", "completions"], option("Chat or plain completions; auto: what the engine supports")] = "auto"
    key_env: Annotated[
        str | None,
        option("Environment variable that holds the server's key; default: OPENAI_API_KEY for https, unless insecure", pattern=r"^[A-Za-z_]\w*$"),
    ] = None
    insecure: Annotated[bool, option("Accept an untrusted certificate from the server")] = False

    load: Annotated[LoadKind, option("How requests arrive: one at a time, at fixed concurrency, at a rate, from a trace, or as a sweep")] = (
        "concurrency"
    )
    concurrency: Annotated[int | None, option("Maximum requests in flight; default: 8, unlimited for paced loads", ge=1, le=65536)] = None
    rate: Annotated[
        float,
        option(
            "Requests per second; for a sweep over it, the first level",
            when={"load": ("constant", "poisson", "gamma", "ramp", "sweep")},
            gt=0,
            le=1e6,
        ),
    ] = 1.0
    burstiness: Annotated[
        float, option("Squared coefficient of variation of the gaps: 1 is Poisson, above 1 is bursty", when={"load": ("gamma",)}, gt=0, le=1000)
    ] = 4.0
    ramp_to: Annotated[float, option("Rate at the end of the ramp", when={"load": ("ramp",)}, ge=0, le=1e6)] = 10.0
    trace: Annotated[str | None, option("JSONL file, each line with timestamp in seconds and prompt or input_tokens", when={"load": ("trace",)})] = (
        None
    )
    trace_speed: Annotated[float, option("Replay speed relative to the recording", when={"load": ("trace",)}, gt=0, le=1e4)] = 1.0
    sweep: Annotated[SweepOver, option("Raise the concurrency, or the rate of Poisson arrivals", when={"load": ("sweep",)})] = "concurrency"
    levels: Annotated[
        tuple[float, ...], option("Levels of the sweep; default: doubled until throughput stops rising", when={"load": ("sweep",)})
    ] = ()
    requests: Annotated[int, option("Requests, per level of a sweep; at least twice the highest concurrency", ge=1, le=10**7)] = 64
    duration: Annotated[float | None, option("Stop after this time; default: when all requests are answered", "second", gt=0)] = None
    warmup: Annotated[int, option("Warm-up requests, sent first and not measured", ge=0, le=10**6)] = 2

    prompts: Annotated[str, option("Prompts: builtin, or a JSONL file with prompt (and output_tokens) per line", min_length=1)] = "builtin"
    input_tokens: Annotated[int, option("Mean prompt length", "token", ge=1, le=2**22)] = 128
    input_deviation: Annotated[float, option("Its standard deviation; 0: all equal", "token", ge=0)] = 0.0
    output_tokens: Annotated[int, option("Mean of the maximum output length", "token", ge=1, le=2**20)] = 64
    output_deviation: Annotated[float, option("Its standard deviation; 0: all equal", "token", ge=0)] = 0.0
    shared_prefix: Annotated[int, option("Prefix tokens shared by all prompts", "token", ge=0, le=2**22)] = 0
    tokenizer: Annotated[
        str | None, option("Model whose tokenizer cuts and counts the texts for a server's address; default: four characters per token", min_length=1)
    ] = None
    ignore_eos: Annotated[bool, option("Request full-length outputs (ignore EOS) if the server supports it")] = True
    temperature: Annotated[float, option("0: the likeliest token", ge=0, le=10)] = 0.0

    timeout: Annotated[float, option("Timeout of a request", "second", gt=0, le=86400)] = 600.0
    silence: Annotated[float, option("Timeout between chunks of a response", "second", gt=0, le=86400)] = 120.0
    retries: Annotated[int, option("Retries of a rejected request (429, 503)", ge=0, le=100)] = 0
    workers: Annotated[int | None, option("Client processes; default: one per 64 requests in flight, at most one per core", ge=1, le=256)] = None

    objectives: Annotated[tuple[str, ...], option("Objectives of a request that counts as goodput, for example ttft<500ms,itl<50ms")] = ()
    thresholds: Annotated[
        tuple[str, ...], option("Thresholds for the whole run, else exit code 3, for example 'ttft.p95 < 500ms','throughput > 30'")
    ] = ()
    baseline: Annotated[str | None, option("Result that this one must not be worse than, beyond noise: a run's id or a JSON file")] = None
    price: Annotated[float | None, option("Cost of the machine per hour, for the cost per million tokens", gt=0)] = None
    quality_tokens: Annotated[int, option("Tokens of text whose perplexity is measured through the server; 0: none", "token", ge=0, le=2**22)] = 0
    text: Annotated[
        str | None, option("UTF-8 file whose perplexity is measured; default: the built-in text, held out from the bundled models", min_length=1)
    ] = None
    quality_reference: Annotated[str | None, option("Reference for the divergence on that text: a model, or the address of a server")] = None
    choices: Annotated[str | None, option("JSONL file of questions to answer, each line with question, choices and answer")] = None

    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float16"], option("Dtype of the started server")] = "auto"
    quantization: Annotated[str | None, option("Quantization of the started server; default: from the checkpoint")] = None
    context: Annotated[int | None, option("Context length of the started server; default: enough for prompts and outputs", "token", ge=1)] = None
    threads: Annotated[int | None, option("CPU threads of the started server; default: the engine's", ge=1, le=1024)] = None

    _listed = field_validator("levels", "objectives", "thresholds", mode="before")(parts_of)

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        check_address(self.model, "the server")
        if self.quality_reference is not None:
            check_address(self.quality_reference, "the reference")
        if self.load == "trace" and self.trace is None:
            raise ValueError("load trace needs a trace: give a JSONL file with one timestamp per line")
        if self.load == "ramp" and self.duration is None:
            raise ValueError("a ramp needs a duration: give duration in seconds")
        if self.shared_prefix >= self.input_tokens:
            raise ValueError(
                f"a shared prefix of {self.shared_prefix} leaves nothing of prompts of {self.input_tokens} tokens: lower it or raise input-tokens"
            )
        if any(level <= 0 for level in self.levels) or list(self.levels) != sorted(set(self.levels)):
            raise ValueError("the levels of a sweep must be above 0 and ascending: sort them")
        if self.quality_reference is not None and not self.quality_tokens:
            raise ValueError("the divergence from a reference is measured on text: give quality-tokens")
        own = self.quality_reference is not None and not self.quality_reference.startswith(("http://", "https://"))
        if self.is_url and own and self.tokenizer is None:
            raise ValueError("the tokens of a server's model are not known here: give tokenizer, or a server's address as the reference too")
        if self.sweep == "concurrency" and any(level != int(level) for level in self.levels):
            raise ValueError("the levels of a concurrency sweep must be whole numbers")
        return self

    @property
    def is_url(self) -> bool:
        """Whether the model is the address of a server."""
        return self.model.startswith(("http://", "https://"))

    @property
    def engine_name(self) -> str:
        """The engine that serves, or whose server it is."""
        return self.engine or ("openai" if self.is_url else "runtime")

    @property
    def in_flight(self) -> int | None:
        """Requests at once, at most; None: no limit."""
        if self.load == "one":
            return 1
        return self.concurrency or (8 if self.load == "concurrency" else None)

    def summary(self) -> str:
        """The load in one line."""
        kinds: dict[LoadKind, str] = {
            "one": "one request at a time",
            "concurrency": f"{self.in_flight} requests at once",
            "constant": f"{self.rate:g} requests a second, evenly",
            "poisson": f"{self.rate:g} requests a second, Poisson",
            "gamma": f"{self.rate:g} requests a second, burstiness {self.burstiness:g}",
            "ramp": f"{self.rate:g} to {self.ramp_to:g} requests a second",
            "trace": f"a trace at {self.trace_speed:g} times its speed",
            "sweep": f"a sweep over the {self.sweep}",
        }
        return f"{kinds[self.load]}, {self._texts()}"

    def _texts(self) -> str:
        """Lengths, and by which tokenizer where it is not the model's own."""
        if self.prompts != "builtin" or self.load == "trace":
            return "texts of a file"
        shared = f", {self.shared_prefix} of them shared" if self.shared_prefix else ""
        cut = "" if not self.is_url or self.tokenizer is None else f" by the tokenizer of {clean(self.tokenizer, limit=60)}"
        return f"{_length(self.input_tokens, self.input_deviation)} tokens in{cut}{shared}, {_length(self.output_tokens, self.output_deviation)} out"


def _length(mean: int, deviation: float) -> str:
    return f"{mean} ± {deviation:g}" if deviation else f"{mean}"
