"""Work off the event loop whose unforeseen errors reach the user and the log instead of getting lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from textual import work
from textual.dom import DOMNode
from textual.worker import get_current_worker

from tui.shell import crash

P = ParamSpec("P")
Node = TypeVar("Node", bound=DOMNode)
Method = Callable[Concatenate[Node, P], None]


def in_thread(*, group: str, description: str, exclusive: bool = False) -> Callable[[Method[Node, P]], Method[Node, P]]:
    """Make a method of a widget a thread worker; `exclusive` cancels the earlier one of the group.

    What the method raises after it was cancelled, or while the app ends, is of no interest to anybody.
    """

    def decorate(method: Method[Node, P]) -> Method[Node, P]:
        @wraps(method)
        def guarded(node: Node, *args: P.args, **kwargs: P.kwargs) -> None:
            try:
                method(node, *args, **kwargs)
            except Exception as error:
                if not get_current_worker().is_cancelled and node.app.is_running:
                    app: Any = node.app
                    app.call_from_thread(app.notify_text, crash.record(error), title="Something went wrong", severity="error")

        wrapped: Any = work(thread=True, group=group, description=description, exclusive=exclusive, exit_on_error=False)(guarded)
        return cast("Method[Node, P]", wrapped)

    return decorate
