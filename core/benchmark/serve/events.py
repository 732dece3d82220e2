"""What a server's run tells when the server answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from core.sanitize import clean


@dataclass(frozen=True, slots=True)
class ReadyEvent:
    """A server that answers."""

    kind: ClassVar[str] = "ready"
    url: str
    model: str
    """Name that it knows the model by."""
    engine: str
    version: str
    command: str
    pid: int

    def data(self) -> dict[str, Any]:
        """For `RunContext.detail(ReadyEvent.kind, ...)`."""
        return asdict(self)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self | None:
        """The event of a detail's data; None for anything else. Its texts are safe to show."""
        try:
            texts = {
                name: clean(str(data[name]), limit=4000 if name == "command" else 200) for name in ("url", "model", "engine", "version", "command")
            }
            return cls(**texts, pid=int(data["pid"]))
        except (KeyError, TypeError, ValueError):
            return None
