"""What a server's run reports when the server answers."""

from __future__ import annotations

from typing import Annotated, ClassVar

from core.event import DetailEvent, shown

Text = Annotated[str, shown(200)]


class ReadyEvent(DetailEvent):
    """A server that answers."""

    kind: ClassVar[str] = "ready"
    url: Text
    model: Text
    """Name that it knows the model by."""
    engine: Text
    version: Text
    command: Annotated[str, shown(4000)]
    pid: int
