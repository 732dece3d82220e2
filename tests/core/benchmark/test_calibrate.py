"""The client against a server of known times."""

from __future__ import annotations

import pytest

from core.benchmark import calibrate
from core.benchmark.calibrate import Calibration, Step, calibrated_server, lags, measured
from core.benchmark.outcome import Outcome, Piece


def step(streams: int, lag: float, done: int | None = None) -> Step:
    return Step(streams, 1, streams if done is None else done, 0.1, lag, 50.0, 20.0, 0.5, 20.0)


def test_the_ceiling_is_the_last_number_that_was_followed() -> None:
    assert Calibration((step(8, 0.2), step(16, 0.9), step(32, 1.5))).ceiling == 16
    assert Calibration((step(8, 2.0),)).ceiling is None
    assert Calibration((step(8, 0.2), step(16, 0.2, done=15))).ceiling == 8
    assert Calibration((step(8, 0.2), step(16, 5.0), step(32, 0.2))).ceiling == 8


def test_the_lag_is_what_lies_between_writing_and_reading() -> None:
    outcome = Outcome(0, "done", 0, pieces=[Piece(5_000_000, "3000000"), Piece(9_000_000, "8500000")])
    assert lags(outcome) == [2.0, 0.5]


def test_the_client_is_measured_on_a_real_server() -> None:
    with calibrated_server() as url:
        found = measured(url, 4, 2, tokens=12)
    assert found.done == 4
    assert 0 < found.lag_p50_ms < 20
    assert found.lag_p99_ms >= found.lag_p50_ms
    assert found.ttft_p50_ms >= calibrate.FIRST_MS - 0.5
    assert found.itl_p50_ms == pytest.approx(1000 / calibrate.RATE, rel=0.3)
    assert 0 < found.cpu_us_per_token < 20_000


def test_it_stops_where_the_client_does_not_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "measured", lambda url, streams, workers: step(streams, 0.01 * streams))
    told: list[Step] = []
    found = calibrate.calibrate(lambda streams: 1, (16, 64, 128, 256), told.append)
    assert found.ceiling == 64
    assert [each.streams for each in told] == [16, 64, 128]
    assert found.to_json()["ceiling_streams"] == 64


def test_the_server_tells_what_it_really_did() -> None:
    with calibrated_server(10, 500) as url:
        measured(url, 3, 1, tokens=6)
        truth, arrivals = calibrate.asked(url, "truth"), calibrate.asked(url, "arrivals")["arrivals"]
    assert (truth["requests"], truth["pieces"]) == (3, 18)
    assert truth["ttft_p50_ms"] >= 10
    assert truth["itl_p50_ms"] == pytest.approx(2, rel=0.5)
    assert truth["tpot_p50_ms"] == pytest.approx(2, rel=0.5)
    assert truth["connections"] == 3
    assert len(arrivals) == 3
    assert arrivals == sorted(arrivals)
