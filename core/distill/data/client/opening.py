"""From a spec to the server that answers it: key, base of its paths, name of its model."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from core.distill.data.client.address import AddressClient
from core.distill.data.client.engine import EngineClient
from core.distill.data.spec import DistillDataSpec
from core.engine import Endpoint, Engine, look_up
from core.engine_access import WITHOUT_LIST, listed, places, server_key
from core.errors import RequestError
from core.sanitize import clean

_NAMED = 10
_REFUSED = (401, 403)


@dataclass(frozen=True)
class Teacher:
    """A server that answers."""

    engine: Engine
    endpoint: Endpoint
    """With the name of its model."""

    def client(self, spec: DistillDataSpec) -> AbstractAsyncContextManager[AddressClient | EngineClient]:
        """What sends requests."""
        if self.endpoint.style in ("chat", "completions"):
            return AddressClient(self.endpoint, spec.concurrency, spec.timeout, spec.silence)
        return EngineClient(self.engine, self.endpoint, spec.concurrency)


def attach(spec: DistillDataSpec) -> Teacher:
    """The server of a spec.

    Raises:
        RequestError: its key is not set or refused, it does not answer, or does not know the model.
    """
    engine = look_up(spec.engine)
    key = server_key(spec.model, spec.key_env, insecure=spec.insecure)
    endpoint = Endpoint(spec.model, "", engine.facts.style, key, not spec.insecure)
    try:
        endpoint, names = listed(engine, endpoint)
    except RequestError as error:
        status = getattr(error, "status", None)
        if status in _REFUSED:
            why = "refuses the key" if key else "requires a key"
            raise RequestError(f"{clean(spec.model)} {why} (HTTP {status}): put it in a variable, and name that with key-env") from error
        if status not in WITHOUT_LIST or spec.served_model is None:
            raise
        endpoint, names = places(endpoint)[0], ()
    if spec.served_model is not None and names and spec.served_model not in names:
        shown = ", ".join(clean(name, limit=60) for name in names[:_NAMED])
        raise RequestError(f"the server at {clean(spec.model)} does not serve {clean(spec.served_model, limit=80)}: it serves {shown}")
    if spec.served_model is None and not names:
        raise RequestError(f"the server at {clean(spec.model)} lists no model: name it with served-model")
    return Teacher(engine, replace(endpoint, model=spec.served_model or names[0]))
