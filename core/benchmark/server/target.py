"""The server that a load goes to: one that runs already, or one that is started for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.benchmark.server.serving import served
from core.benchmark.spec import BenchmarkSpec
from core.benchmark.workload.prompts import Tokenizer
from core.engine import Endpoint, Engine, ServeSpec, look_up
from core.engine_access import OPENAI_KEY, WITHOUT_LIST, listed, places, server_key
from core.errors import RequestError
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.models.source import ModelSource
from core.sanitize import clean

if TYPE_CHECKING:
    from core.context import RunContext

_NAMED = 10
REFUSED = (401, 403)


@dataclass(frozen=True)
class Target:
    """A server that answers, and what is known of it."""

    engine: Engine
    endpoint: Endpoint
    name: str
    """Fit to be shown."""
    pid: int | None = None
    version: str | None = None
    command: str | None = None


@contextmanager
def opened(spec: BenchmarkSpec, context: RunContext, needed: int) -> Iterator[Target]:
    """The server of a spec for as long as the block lasts; one that is started has a context of `needed` tokens unless it is given.

    Raises:
        RequestError: it cannot be reached, is not what it should be, or does not know the model.
        RunFailed: it does not start.
    """
    engine = look_up(spec.engine_name)
    if spec.is_url:
        yield _attached(spec, engine)
        return
    log = context.artifacts / "server.log"
    with served(engine, serve_spec(spec, needed), log, say=context.log, check_cancelled=context.check_cancelled) as server:
        context.log(f"the server answered after {server.seconds:.1f} s")
        endpoint = _with_style(
            spec, replace(server.endpoint, model=spec.served_model or server.endpoint.model, ignores_eos=_ignores_eos(spec, engine)), engine
        )
        title = resolve(spec.model).title
        yield Target(engine, endpoint, f"{title} · {engine.facts.title}", server.pid, server.version, server.command.shown())


def serve_spec(spec: BenchmarkSpec, needed: int) -> ServeSpec:
    """The server that a benchmark starts."""
    return ServeSpec(
        model=spec.model,
        engine=spec.engine_name,
        context=spec.context or needed,
        dtype=spec.dtype,
        quantization=spec.quantization,
        threads=spec.threads,
        device=spec.device,
        concurrency=spec.in_flight,
        seed=spec.seed,
    )


def key_of(spec: BenchmarkSpec) -> str | None:
    """The key of a spec, as `server_key` has it and raises."""
    return server_key(spec.model, spec.key_env, insecure=spec.insecure)


def reference_of(spec: BenchmarkSpec, address: str) -> Endpoint:
    """The server that a divergence is measured from; it gets the key only where it is the very server that the key is for."""
    same = urlsplit(address)[:2] == urlsplit(spec.model)[:2]
    return Endpoint(address, key=key_of(spec) if same else None, verify=not spec.insecure)


def tokenizer_of(spec: BenchmarkSpec) -> tuple[Tokenizer | None, ModelCard | None]:
    """Tokenizer and card of the model where it is on this machine; of a server the tokenizer that the spec names.

    Raises:
        RequestError: the named model has no tokenizer that can be read here.
    """
    if spec.is_url:
        return (None if spec.tokenizer is None else _named_tokenizer(spec.tokenizer)), None
    source = resolve(spec.model)
    found = _tokenizer_in(source)
    if found is None and spec.tokenizer is not None:
        found = _named_tokenizer(spec.tokenizer)
    return found, source.card()


def _named_tokenizer(name: str) -> Tokenizer:
    found = _tokenizer_in(resolve(name))
    if found is None:
        raise RequestError(f"{clean(name, limit=80)} has no tokenizer.json: give a model with the same tokenizer that has one")
    return found


def _tokenizer_in(source: ModelSource) -> Tokenizer | None:
    file = (source.path if source.kind == "folder" else source.path.parent) / "tokenizer.json"
    return FastTokenizer(file) if file.is_file() else None


class FastTokenizer:
    """A tokenizer.json, without transformers."""

    def __init__(self, file: Path) -> None:
        from tokenizers import Tokenizer as Reader

        try:
            self._reader = Reader.from_file(str(file))
        except Exception as error:  # the package raises plain Exception
            raise RequestError(f"{clean(str(file), limit=200)} is not a tokenizer: {clean(str(error), limit=120)}") from error
        self.folder = file.parent
        self.opening: list[int] | None = None
        """Special tokens before a text; None: nobody looked yet."""

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Tokens of a text, without special ones unless they are asked for."""
        return list(self._reader.encode(text, add_special_tokens=special).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens."""
        return str(self._reader.decode(list(tokens), skip_special_tokens=False))


def _attached(spec: BenchmarkSpec, engine: Engine) -> Target:
    endpoint = Endpoint(spec.model, "", engine.facts.style, key_of(spec), not spec.insecure, _ignores_eos(spec, engine))
    endpoint, names = _listed(spec, engine, endpoint)
    if spec.served_model is not None and names and spec.served_model not in names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        listed = ", ".join(clean(name, limit=60) for name in names[:_NAMED]) + more
        raise RequestError(f"the server at {clean(spec.model)} does not serve {clean(spec.served_model, limit=80)}: it serves {listed}")
    model = spec.served_model or (names[0] if names else "")
    endpoint = _with_style(spec, replace(endpoint, model=model), engine)
    return Target(engine, endpoint, f"{clean(model, limit=80) or 'model'} · {clean(spec.model, limit=80)}")


def _listed(spec: BenchmarkSpec, engine: Engine, endpoint: Endpoint) -> tuple[Endpoint, tuple[str, ...]]:
    """The endpoint with its base, and the models that it names: none of one that answers, has no list, and whose model is named in the spec."""
    try:
        return listed(engine, endpoint)
    except RequestError as error:
        status = getattr(error, "status", None)
        if status in WITHOUT_LIST and spec.served_model is not None:
            return places(endpoint)[0], ()
        if status in REFUSED:
            raise RequestError(refused_key(spec, status)) from error
        if status in WITHOUT_LIST:
            hint = f"check the address, and that it supports the protocol of {engine.facts.title}; if it lists no models, give --served-model"
            raise RequestError(f"{error}: {hint}") from error
        raise


def refused_key(spec: BenchmarkSpec, status: int) -> str:
    """What to say of a server that does not let this client in."""
    server = clean(spec.model, limit=200)
    if spec.key_env is not None:
        return f"{server} rejects the key in the environment variable {spec.key_env} (HTTP {status}): check that it is valid for this server"
    if key_of(spec) is not None:
        return f"{server} rejects the key in {OPENAI_KEY} (HTTP {status}): name the variable that holds the right one with --key-env"
    return f"{server} requires a key (HTTP {status}): put it in an environment variable, and name that with --key-env"


def _ignores_eos(spec: BenchmarkSpec, engine: Engine) -> bool:
    """Whether the server is asked for answers of full length: it is wanted, and the server knows how."""
    return spec.ignore_eos and engine.facts.ignores_eos


def _with_style(spec: BenchmarkSpec, endpoint: Endpoint, engine: Engine) -> Endpoint:
    if spec.style == "auto":
        return endpoint
    if engine.facts.style not in ("chat", "completions"):
        raise RequestError(f"{engine.facts.title} has its own protocol: leave style at auto")
    return replace(endpoint, style=spec.style)
