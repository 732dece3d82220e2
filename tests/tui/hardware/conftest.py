"""A machine made of data under the real tab."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from core.hardware.live.sampler import Sampler
from tests.core.hardware.fake_probe import FakeProbe
from tests.tui.fakes import NOW, FakeServices
from tests.tui.hardware.planned import PlannedModels
from tui.app import LlmoptApp
from tui.hardware.pane import HardwarePane

READINGS = 60


def sampled(shape: str, readings: int = READINGS, cores: int = 8) -> Sampler:
    """A sampler with a minute of history and no thread; of the shape `lost` the second GPU has just gone."""
    probe = FakeProbe(shape, cores)
    ticks = iter(range(10_000))
    sampler = Sampler(probe=probe, clock=lambda: NOW - READINGS + next(ticks))
    for reading in range(readings):
        if shape == "lost" and reading == readings - 1:
            probe.nvml.lose(1)
        sampler.sample()
    return sampler


@pytest.fixture
def services() -> FakeServices:
    """A workstation with one GPU, and models known by their configuration."""
    return FakeServices(sampler=sampled("one"), models=PlannedModels())


@pytest.fixture
def on_machine(services: FakeServices, make_app: Callable[..., LlmoptApp]) -> Callable[..., LlmoptApp]:
    """The app on a machine of a shape."""

    def make(shape: str, cores: int = 8) -> LlmoptApp:
        services.sampler = sampled(shape, cores=cores)
        return make_app()

    return make


async def opened(pilot: Pilot[None]) -> HardwarePane:
    """The tab, as soon as it shows a reading."""
    for _ in range(6000):
        panes = list(pilot.app.query(HardwarePane))
        if panes and panes[0].live.shown is not None:
            await pilot.pause()
            return panes[0]
        await pilot.pause(0.01)
    raise AssertionError("the tab was not opened")


async def answered(pilot: Pilot[None]) -> HardwarePane:
    """The tab, as soon as its plan has an answer."""
    pane = await opened(pilot)
    for _ in range(6000):
        if pane.plan is not None and pane.plan.fit.answer is not None and not pane.plan.waiting:
            await pilot.pause()
            return pane
        await pilot.pause(0.01)
    raise AssertionError("no answer came")
