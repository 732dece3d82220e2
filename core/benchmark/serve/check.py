"""Refuse a server before a worker is started."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.benchmark.server.formats import check_format
from core.engine import Command, EngineFacts, Found, Missing, ServeSpec, look_up
from core.errors import RequestError
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.sanitize import clean

_SECRET = re.compile(r"^-.*(api-?_?key|hf-?_?token|auth-?_?token|password|secret)", re.IGNORECASE)


@dataclass(frozen=True)
class ServerCheck:
    """A server that can be started."""

    facts: EngineFacts
    version: str
    command: Command
    """At the port that was asked for, else at the engine's own; one that is taken is found out at the start."""


def check(spec: ServeSpec, card: ModelCard | None) -> ServerCheck:
    """What can be known of a server without starting it.

    Raises:
        RequestError: an engine that does not exist, is not installed or only attached to, a format that it does not
            read, a context beyond the model's, a key among the further arguments, what this version cannot do.
    """
    _check_extra(spec.extra)
    engine = look_up(spec.engine)
    port = spec.port or engine.facts.port
    if not engine.facts.starts:
        # It refuses too, and says how it is started elsewhere.
        engine.command(spec, Found("", ()), port)
        raise RequestError(f"{engine.facts.title} is not started by this program: start it yourself, and measure it by its address")
    found = engine.find()
    if isinstance(found, Missing):
        raise RequestError(found.reason)
    if card is not None:
        check_format(engine.facts, resolve(spec.model).kind)
    if card is not None and spec.context is not None and spec.context > card.context:
        raise RequestError(f"a context of {spec.context} tokens exceeds the {card.context} of {card.name}: lower it")
    return ServerCheck(engine.facts, found.version, engine.command(spec.model_copy(update={"port": port}), found, port))


def _check_extra(extra: Sequence[str]) -> None:
    """A key in a command line can be read by everybody on the machine; the sentence does not repeat it."""
    for word in extra:
        flag = word.partition("=")[0]
        if _SECRET.search(flag):
            raise RequestError(
                f"{clean(flag, limit=40)} would put a key on the command line, which every user on this machine can "
                "read: set the engine's environment variable for it, for example VLLM_API_KEY or HF_TOKEN"
            )
