"""What is known of the client's own limits, and what a report says of it."""

from __future__ import annotations

import platform

import pytest

from core.benchmark.calibrate import ceiling
from core.benchmark.calibrate.calibrate import Calibration, Step
from core.benchmark.client.outcome import Outcome
from core.runs.state.files import read_json, write_json


def step(streams: int, lag: float = 0.3) -> Step:
    return Step(streams, 1, streams, lag / 2, lag, 50.2, 20.0, 0.1, 40.0)


CALIBRATION = Calibration((step(8), step(64, 0.5), step(128, 7.0)))


def test_a_calibration_is_kept_for_this_machine_beside_others() -> None:
    assert ceiling.known() is None
    write_json(ceiling.calibration_file(), {"machines": {"elsewhere": {"ceiling_streams": 1}}})
    path = ceiling.keep(CALIBRATION)
    found = ceiling.known()
    assert found is not None
    assert found.streams == 64
    assert found.tokens_per_second == 64 * 50
    assert found.lag(9) == 0.5
    assert found.lag(500) is None
    document = read_json(path)
    assert set(document["machines"]) == {"elsewhere", platform.node()}
    assert document["machines"][platform.node()]["steps"][2]["follows"] is False


@pytest.mark.parametrize(
    "damage", ["[]", "{", '{"machines": 3}', '{"machines": {"HOST": {}}}', '{"machines": {"HOST": {"machine": MACHINE, "steps": 3}}}']
)
def test_a_damaged_calibration_is_none(damage: str) -> None:
    ceiling.keep(CALIBRATION)
    ceiling.calibration_file().write_text(damage.replace("HOST", platform.node()).replace("MACHINE", "{}"))
    assert ceiling.known() is None


def test_other_processors_make_a_calibration_void(monkeypatch: pytest.MonkeyPatch) -> None:
    ceiling.keep(CALIBRATION)
    monkeypatch.setattr(ceiling, "cores", lambda: 4096)
    assert ceiling.known() is None


def test_a_client_that_follows_nothing_is_known_as_such() -> None:
    ceiling.keep(Calibration((step(8, 9.0),)))
    found = ceiling.known()
    assert found is not None
    assert found.streams == 0
    assert ceiling.ceiling_warnings(1, None, found)


def test_a_load_beyond_the_ceiling_carries_the_warning() -> None:
    found = ceiling.Ceiling(64, 1.7e9, ((64, 0.5),))
    assert "exceed the 64" in ceiling.ceiling_warnings(65, 100.0, found)[0]
    assert "2023-11-14" in ceiling.ceiling_warnings(65, 100.0, found)[0]
    assert "5000 tokens per second" in ceiling.ceiling_warnings(64, 5000.0, found)[0]
    assert ceiling.ceiling_warnings(64, 3000.0, found) == ()
    assert ceiling.ceiling_warnings(64, None, found) == ()


def test_a_server_that_is_faster_than_the_client_s_delay_allows_carries_the_warning() -> None:
    found = ceiling.Ceiling(64, 1.7e9, ((8, 0.1), (64, 0.5)))
    assert "0.50 ms, 2023-11-14) is more than 5% of the 8 ms" in ceiling.ceiling_warnings(64, 3000.0, found, 8.0)[0]
    assert ceiling.ceiling_warnings(8, 3000.0, found, 8.0) == ()
    assert ceiling.ceiling_warnings(64, 3000.0, found, 10.0) == ()
    assert ceiling.ceiling_warnings(64, 3000.0, found, None) == ()


def test_without_a_calibration_only_larger_loads_are_spoken_of() -> None:
    assert ceiling.ceiling_warnings(16, 1e6, None) == ()
    assert "not calibrated" in ceiling.ceiling_warnings(17, None, None)[0]


def outcome(sent: int | None, ended: int | None) -> Outcome:
    return Outcome(0, "done", 0, sent=sent, ended=ended)


def test_the_most_requests_at_once() -> None:
    assert ceiling.most_at_once([]) == 0
    assert ceiling.most_at_once([outcome(0, 10), outcome(5, 15), outcome(10, 20), outcome(None, None)]) == 2
    assert ceiling.most_at_once([outcome(0, 10), outcome(1, 10), outcome(2, 10)]) == 3
