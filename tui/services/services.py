"""What panes are given instead of globals: hardware readings, runs, models, settings, the time.

`LiveServices` imports each room when it is first asked for. Tests hand in fakes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from tui.config import Settings

if TYPE_CHECKING:
    from textual.message_pump import MessagePump

    from core.hardware.live.sampler import Sampler
    from core.models.find.listing import ModelListing
    from core.models.resolve import ModelSource
    from core.runs.launch.admission import Admission
    from core.runs.state.state import State
    from core.runs.state.store import Run
    from core.spec import Spec


class Runs(Protocol):
    """The runs of this home. Every call touches the disk: keep it off the event loop."""

    def list_runs(self) -> list[Run]:
        """All runs, newest first."""

    def get(self, run_id: str) -> Run:
        """One run; RequestError when there is none."""

    def state(self, run: Run) -> State:
        """The state of a run, after a look whether its worker still lives."""

    def admit(self, spec: Spec) -> Admission:
        """What is known of a request before it is started; RequestError says why it cannot be."""

    def start(self, spec: Spec) -> Run:
        """Admit a request, create a run and its worker, which outlives this process; RequestError as `admit`, and then there is no run."""

    def cancel(self, run: Run) -> State:
        """Stop the worker of a run; returns when it is over."""

    def pause(self, run: Run) -> State:
        """Let a run wait; RequestError when it cannot."""

    def go_on(self, run: Run) -> State:
        """Let a run that waits go on; RequestError when it does not wait."""

    def finish(self, run: Run) -> State:
        """Let a run come to its end with what it has; RequestError when it cannot."""

    def resume(self, run: Run) -> State:
        """Let a cancelled or failed run go on from what it kept; RequestError when it cannot."""

    def remove(self, run: Run) -> None:
        """Delete a run that is over; RequestError when it is not."""


class Models(Protocol):
    """The models that are on this machine. Every call touches the disk."""

    def listing(self) -> ModelListing:
        """All that were found, and what was skipped with its reason."""

    def resolve(self, name: str) -> ModelSource:
        """One model by name, never downloaded; RequestError when it cannot be used."""


class Services(Protocol):
    """Everything a pane may reach beyond its own widgets."""

    @property
    def sampler(self) -> Sampler:
        """Hardware readings; started by the first pane that asks."""

    @property
    def runs(self) -> Runs:
        """The runs."""

    @property
    def models(self) -> Models:
        """The models."""

    @property
    def settings(self) -> Settings:
        """The user's settings."""

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since 1970; frozen in tests."""

    @property
    def read_only(self) -> bool:
        """Nothing may be started, stopped or killed from here."""


class LiveServices:
    """The real ones."""

    def __init__(self, settings: Settings, *, read_only: bool = False) -> None:
        self.settings = settings
        self.read_only = read_only or settings.read_only
        self.clock = time.time

    @cached_property
    def sampler(self) -> Sampler:
        from core.hardware.live.sampler import Sampler
        from core.models.find.hub_cache import cache_folder
        from core.runs.state.home import runs_folder
        from tui.services.ours import OurWorkers

        folders = {"models": cache_folder(), "runs": runs_folder()}
        sampler = Sampler(interval=self.settings.refresh_interval, ours=OurWorkers(), folders=folders)
        sampler.start()
        return sampler

    @cached_property
    def runs(self) -> Runs:
        from tui.services.live_runs import LiveRuns

        return LiveRuns(self.models.resolve)

    @cached_property
    def models(self) -> Models:
        return LiveModels()

    def close(self) -> None:
        """Stop what was started."""
        if sampler := self.__dict__.get("sampler"):
            sampler.stop()


class LiveModels:
    """The models that `core.models` finds."""

    def listing(self) -> ModelListing:
        from core.models.find.listing import list_models

        return list_models()

    def resolve(self, name: str) -> ModelSource:
        """As `core.models.resolve`, without downloading: only a run may take that time."""
        from core.models.resolve import resolve

        return resolve(name, allow_download=False)


def services_of(node: MessagePump) -> Services:
    """The services of the app that a widget or screen belongs to."""
    services: Services = node.app.services  # type: ignore[attr-defined]
    return services
