"""How much of answers a client holds: each within what its tokens can take, and all together within a bound."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from core.benchmark.client.held import Held, Kept
from core.benchmark.client.load import Load, run_load
from core.benchmark.client.outcome import Outcome, Piece
from core.benchmark.client.request import Request, body_of
from core.engine import Endpoint

MIB = 1 << 20


def test_one_answer_may_be_as_long_as_its_tokens_take() -> None:
    for tokens, most in ((8, 2 * MIB + 8 * 16384), (1024, 18 * MIB), (10**6, 64 * MIB)):
        held = Held(1, tokens)
        assert held.most_of_one == most
        assert held.add(0, bytes(most - 128)) == most
        with pytest.raises(ValueError, match=f"for {tokens} tokens"):
            held.add(most, b"a")


@pytest.mark.parametrize(("slots", "most"), [(1, 512), (64, 512), (1000, 2000)])
def test_all_answers_together_have_a_bound_and_give_their_room_back(slots: int, most: int) -> None:
    held, part = Held(slots, 10**6), bytes(MIB - 128)
    assert sum(held.add(0, part) for _ in range(most)) == most * MIB
    with pytest.raises(ValueError, match="lower the concurrency"):
        held.add(0, part)
    held.free(MIB)
    assert held.add(0, part) == MIB


def test_reads_of_a_byte_cost_more_than_a_byte() -> None:
    held, total = Held(1, 0), 0
    for _ in range(2 * MIB // 129):
        total = held.add(total, b"a")
    with pytest.raises(ValueError, match="longer than"):
        held.add(total, b"a")


@pytest.mark.parametrize(("pieces", "text"), [(100_000, "a"), (1, "a" * (12 * MIB)), (1000, "a" * 12_800)])
def test_what_is_kept_of_a_whole_load_has_a_bound(pieces: int, text: str) -> None:
    kept, many = Kept(1000, 8), [Piece(0, text)] * pieces
    outcomes = [Outcome(number, "done", 0, pieces=list(many)) for number in range(60)]
    for outcome in outcomes:
        kept.add(outcome)
    done = [outcome for outcome in outcomes if outcome.status == "done"]
    assert 38 <= len(done) < 45
    assert all(outcome.pieces for outcome in done)
    assert not any(outcome.pieces for outcome in outcomes[len(done) :])
    assert "far longer than was requested" in outcomes[-1].reason


def test_what_was_requested_is_kept() -> None:
    kept = Kept(3000, 4096)
    outcomes = [Outcome(number, "done", 0, pieces=[Piece(0, "word ")] * 4096) for number in range(3000)]
    for outcome in outcomes:
        kept.add(outcome)
    assert {outcome.status for outcome in outcomes} == {"done"}


@contextmanager
def padding(pad: bytes) -> Iterator[str]:
    """A server that fills its answers."""
    body = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n' + pad + b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("pad", "status"),
    [
        (b": " + b"a" * MIB + b"\n\n", "done"),
        (b": " + b"a" * (6 * MIB) + b"\n\n", "failed"),
        (b'data: {"choices":[{"delta":{"content":"' + b"b" * (6 * MIB) + b'"}}]}\n\n', "failed"),
        (b'data: {"choices":[]}\n\n' * (MIB // 4), "failed"),
    ],
    ids=["comment", "large comment", "large piece", "many events"],
)
def test_a_padded_answer_fails_and_is_not_held(pad: bytes, status: str) -> None:
    with padding(pad) as url:
        target = Endpoint(url, "m")
        outcomes = run_load(Load(target, [Request(0, 0, body_of(target, "x", 8))] * 2, concurrency=2, closed=True, tokens=8)).outcomes
    assert {outcome.status for outcome in outcomes} == {status}
    assert status == "done" or "longer than 2.1 MiB for 8 tokens" in outcomes[0].reason
    assert all(len(outcome.text) <= 1 for outcome in outcomes)
