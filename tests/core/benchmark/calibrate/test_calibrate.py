"""The client against a server of known times."""

from __future__ import annotations

import pytest

from core.benchmark.calibrate import calibrate
from core.benchmark.calibrate.calibrate import Calibration, Step, calibrated_server, lags, measured
from core.benchmark.calibrate.server import Calibrated
from core.benchmark.client.outcome import Outcome, Piece


def step(streams: int, lag: float, done: int | None = None, late: float = 0.5) -> Step:
    return Step(streams, 1, streams if done is None else done, 0.1, lag, 50.0, 20.0, late, 20.0)


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
    assert [each.verdict for each in told] == ["followed", "followed", "not followed"]
    document = found.to_json()
    assert (document["ceiling_streams"], document["limited_by"]) == (64, "client")


def test_a_moment_without_processor_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lags_of = iter([0.2, 9.0, 0.3, 8.0, 7.0])
    monkeypatch.setattr(calibrate, "measured", lambda url, streams, workers: step(streams, next(lags_of)))
    found = calibrate.calibrate(lambda streams: 1, (8, 16, 32))
    assert [each.lag_p99_ms for each in found.steps] == [0.2, 0.3, 7.0]
    assert found.ceiling == 16


def test_where_the_server_is_late_the_client_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "measured", lambda url, streams, workers: step(streams, 0.1, late=0.2 * streams))
    found = calibrate.calibrate(lambda streams: 1, (8, 32, 64, 128))
    assert (found.ceiling, found.limited_by, found.steps[-1].streams) == (32, "server", 64)
    assert "the server itself was late" in found.steps[-1].verdict
    assert Calibration((step(8, 0.1),)).limited_by == ""


def test_the_server_tells_what_it_really_did() -> None:
    with calibrated_server(10, 500) as url:
        measured(url, 3, 1, tokens=6)
        truth, arrivals = calibrate.query(url, "truth"), calibrate.query(url, "arrivals")["arrivals"]
    assert (truth["requests"], truth["pieces"]) == (3, 18)
    assert truth["ttft_p50_ms"] >= 10
    assert truth["connections"] == 3
    assert len(arrivals) == 3
    assert arrivals == sorted(arrivals)


def test_the_truth_is_that_of_the_server_s_own_stamps() -> None:
    server = Calibrated(0.05, 0.02)
    assert server.truth()["ttft_p50_ms"] is None
    millis = [[100, 150, 170, 200], [0, 52, 72, 92, 112], [7], [0, 60]]
    server.requests = [[1_000_000 * at for at in stamps] for stamps in millis]
    server.late = [0.001, 0.002, 0.009]
    truth = server.truth()
    assert (truth["requests"], truth["pieces"]) == (4, 8)
    assert truth["ttft_p50_ms"] == 52
    assert truth["itl_p50_ms"] == 20
    assert truth["tpot_p50_ms"] == 22.5
    assert (truth["late_p50_ms"], truth["late_p99_ms"]) == (2.0, 9.0)
