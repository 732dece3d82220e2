"""What an engine is to this program. `engines/` and other packages implement it; it is found by entry point, and only the named one is imported.

An engine is spoken to over HTTP. Nothing here starts a process: `command` says what would be started, exactly.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, ClassVar, Literal, Protocol, runtime_checkable

from core.errors import RequestError
from core.sanitize import clean
from core.spec import Spec, option

GROUP = "llmopt.engines"
"""Entry-point group: the name of an engine, and a class without arguments."""

Style = Literal["chat", "completions", "tgi", "ollama"]
"""Which of the protocols for generated text is spoken."""


class ServeSpec(Spec):
    """A server to start."""

    capability: ClassVar[str] = "serve"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        ("server", ("engine", "model", "host", "port", "extra")),
        ("model", ("context", "dtype", "quantization", "kv_dtype", "draft", "gamma")),
        ("machine", ("device", "threads", "gpu_memory", "tensor_parallel", "concurrency", "seed")),
    )

    engine: Annotated[
        str,
        option(
            "Engine: transformers, runtime, llama-cpp, vllm, sglang, tensorrt-llm, ollama; or one of its servers: llama-cpp/llama-server",
            min_length=1,
        ),
    ]
    host: Annotated[str, option("Address to listen on; default: this machine only", min_length=1)] = "127.0.0.1"
    port: Annotated[int, option("Port; 0 picks a free one", ge=0, le=65535)] = 0
    context: Annotated[int | None, option("Maximum prompt and output tokens together; default: the model's", "token", ge=1)] = None
    dtype: Annotated[str, option("Dtype: auto, float32, bfloat16 or float16", pattern="^(auto|float32|bfloat16|float16)$")] = "auto"
    quantization: Annotated[str | None, option("Quantization to load or apply; default: from the checkpoint")] = None
    kv_dtype: Annotated[str | None, option("Number format of the KV cache; default: the engine's")] = None
    draft: Annotated[str | None, option("Draft model for speculative decoding; default: none")] = None
    gamma: Annotated[int, option("Draft tokens per step", "token", ge=1)] = 5
    threads: Annotated[int | None, option("CPU threads; default: the engine's", ge=1)] = None
    gpu_memory: Annotated[float | None, option("Fraction of GPU memory to use; default: the engine's", gt=0, le=1)] = None
    tensor_parallel: Annotated[int, option("Tensor-parallel GPUs", ge=1)] = 1
    concurrency: Annotated[int | None, option("Maximum concurrent sequences; default: the engine's", "sequence", ge=1)] = None
    extra: Annotated[tuple[str, ...], option("Further arguments, passed to the engine unchanged")] = ()


@dataclass(frozen=True)
class EngineFacts:
    """What is known of an engine without looking for it."""

    name: str
    title: str
    summary: str
    style: Style = "chat"
    starts: bool = True
    """Whether this program starts it, or only attaches to one that runs."""
    port: int = 8000
    """Where it listens by default."""
    formats: tuple[str, ...] = ()
    """Checkpoint formats that it loads."""
    ignores_eos: bool = False
    """Whether it knows `ignore_eos`."""
    key_env: str = ""
    """Environment variable by which its server takes a key that clients must then give; "" where it knows none."""
    library: bool = False
    """Whether its models are names in a library of its own, and no files that this program knows."""
    tried: Literal["for real", "against its protocol"] = "against its protocol"
    """How this program was tested with it."""


@dataclass(frozen=True)
class Found:
    """An engine that is installed."""

    version: str
    program: tuple[str, ...]
    """How it is called, for example `("/opt/vllm/bin/vllm",)`."""


@dataclass(frozen=True)
class Missing:
    """Why an engine cannot be started here, and how to change that: one sentence."""

    reason: str


@dataclass(frozen=True)
class Command:
    """What is started. Secrets are named and never shown."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """What is set besides the environment of this program."""
    notes: tuple[str, ...] = ()
    """What was left out or changed for the version that is installed."""

    def shown(self) -> str:
        """A line for a shell."""
        return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in self.environment.items()), shlex.join(self.argv)])


@dataclass(frozen=True)
class Readiness:
    """Whether a server answers."""

    state: Literal["loading", "ready", "failed"]
    words: str = ""


@dataclass(frozen=True)
class ServerFigures:
    """What a server says about itself at one moment; None where it says nothing."""

    running: float | None = None
    """Sequences that are being computed."""
    waiting: float | None = None
    kv_usage: float | None = None
    """Share of the KV cache in use, 0 to 1."""
    prefix_hits: float | None = None
    """Tokens found in the prefix cache since the start."""
    prefix_queries: float | None = None
    drafted: float | None = None
    accepted: float | None = None
    """Drafted tokens that were accepted since the start."""
    generated: float | None = None
    """Tokens generated since the start."""
    memory: float | None = None
    """Bytes of GPU memory of the model, where the server knows them."""


@dataclass(frozen=True)
class TimedText:
    """Part of an answer as it came; the last has the counts, where the server gives them."""

    t: int
    """Nanoseconds of the monotonic clock."""
    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True)
class Endpoint:
    """A server that runs, started by this program or not. Its key is not part of its text."""

    url: str
    """As it was given, for example `http://127.0.0.1:8000`; a last `/v1` makes no difference."""
    model: str = ""
    style: Style = "chat"
    key: str | None = field(default=None, repr=False)
    verify: bool = True
    """Whether its certificate must be good."""
    ignores_eos: bool = False
    """Whether it knows `ignore_eos`."""
    prefix: str = "/v1"
    """What comes before OpenAI's paths; "" where the address is their base, as of `https://host/v1beta/openai`."""
    refuses: tuple[str, ...] = ()
    """Fields of OpenAI's requests that it refuses, so that they are left out or sent under another name."""

    def at(self, path: str) -> str:
        """The URL of a path; `/v1/` is wherever OpenAI's paths are."""
        root = self.url.rstrip("/").removesuffix("/v1")
        return root + (self.prefix + path.removeprefix("/v1") if path.startswith("/v1/") else path)


@dataclass(frozen=True)
class TopToken:
    """A token that was likely in a place."""

    text: str
    logprob: float
    """Natural logarithm."""
    token: int | None = None
    """Its number in the vocabulary, where the server says it."""


@dataclass(frozen=True)
class TokenScore(TopToken):
    """A token of a given text: how likely it was after those before it, and the likeliest in its place."""

    top: tuple[TopToken, ...] = ()


@runtime_checkable
class Engine(Protocol):
    """One engine. Every call returns within seconds; nothing is raised but RequestError."""

    facts: EngineFacts

    def find(self) -> Found | Missing:
        """The installed version, or why there is none."""

    def command(self, spec: ServeSpec, found: Found, port: int) -> Command:
        """Exact arguments and environment of a server, for the version that was found.

        Raises:
            RequestError: this version, or this engine, cannot do what is asked.
        """

    def readiness(self, endpoint: Endpoint) -> Readiness:
        """Whether the server answers."""

    def models(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Names that the server goes by. Raises RequestError when it does not answer as this engine does."""

    def figures(self, endpoint: Endpoint) -> ServerFigures:
        """One look at its metrics."""

    def generate(self, endpoint: Endpoint, prompt: str, max_tokens: int, temperature: float = 0.0) -> Iterator[TimedText]:
        """Text of one request as it comes."""

    def explain(self, log: Sequence[str]) -> str:
        """Of a start that failed: the line that matters, and what to do; "" when nothing is known."""


@runtime_checkable
class ScoringEngine(Protocol):
    """What an engine may have besides: its server says how likely a given text is."""

    def score(self, endpoint: Endpoint, text: str, tokens: Sequence[int] | None, top: int) -> tuple[TokenScore, ...]:
        """Every token of a text but those that nothing comes before.

        Args:
            endpoint: of the server.
            text: to be scored.
            tokens: the same as numbers, given where the server takes them; None: the server cuts the text itself.
            top: how many of the likeliest tokens are wanted in each place; a server may give fewer.

        Raises:
            RequestError: this server does not say; why not, in a sentence.
        """


@runtime_checkable
class VariedEngine(Protocol):
    """What an engine may have besides: several servers, of which it takes one by itself, and another when it is named."""

    def variants(self) -> Mapping[str, Engine]:
        """Its servers by the word that follows the engine's name and a slash; each has facts of its own, named so."""


def names() -> tuple[str, ...]:
    """Engines that are installed with this program or besides it, without importing them."""
    return tuple(sorted({point.name for point in _points()}))


def all_names() -> tuple[str, ...]:
    """As `names`, each engine followed by its variants. Imports the engines, once; one that is broken has none."""
    return _with_variants(names())


@lru_cache(maxsize=4)
def _with_variants(engines: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for name in engines:
        found.append(name)
        try:
            engine = look_up(name)
        except RequestError:
            continue
        found += [f"{name}/{variant}" for variant in _variants(engine)]
    return tuple(found)


def look_up(name: str) -> Engine:
    """An engine by its name, or one of its variants by `engine/variant`. Raises RequestError: there is none, or its package is broken."""
    own, slash, variant = name.partition("/")
    if not slash:
        return _engine(name)
    variants = _variants(_engine(own))
    if variant not in variants:
        known = ", ".join(f"{own}/{each}" for each in variants) or f"{own} itself"
        raise RequestError(f"unknown engine {clean(name, limit=60)!r}: choose {known}")
    return variants[variant]


def has_library(spec: ServeSpec) -> bool:
    """Whether a spec's model is a name in the engine's own library. Raises RequestError as `look_up`."""
    return look_up(spec.engine).facts.library


def _variants(engine: Engine) -> Mapping[str, Engine]:
    return engine.variants() if isinstance(engine, VariedEngine) else {}


def _engine(name: str) -> Engine:
    point = next((point for point in _points() if point.name == name), None)
    if point is None:
        raise RequestError(f"unknown engine {clean(name, limit=60)!r}: choose one of {', '.join(names())}")
    try:
        engine = point.load()()
    except Exception as error:  # whatever a foreign package raises
        raise RequestError(
            f"the engine {clean(name, limit=60)} of {clean(point.value)} could not be imported: {clean(str(error), limit=200)}"
        ) from error
    if not isinstance(engine, Engine):
        raise RequestError(f"{clean(point.value)} is not an engine: it lacks a part of core.engine.Engine")
    return engine


@cache
def _points() -> Sequence[EntryPoint]:
    """Once: it reads a file of every package that is installed, and forms ask whenever they change."""
    return tuple(entry_points(group=GROUP))
