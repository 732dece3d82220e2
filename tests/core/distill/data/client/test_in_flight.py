"""Many requests at once: retries, giving up, cancelling; without a network."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from core.distill.data.client.in_flight import Answered, InFlight, Patience, Totals
from core.distill.data.client.request import Reply, Request, RequestFailed
from core.distill.data.conversation import Message
from core.errors import Cancelled, RunFailed

SOON = Patience(retries=2, first_pause=0.001)


def requests(count: int) -> list[Request]:
    return [Request("m", (Message("user", str(number)),), 8, 0.0, 1.0) for number in range(count)]


class Teacher:
    """Fails each request as often as it is asked to, and notes how many are under way."""

    def __init__(self, failures: dict[int, list[RequestFailed]] | None = None, every: RequestFailed | None = None) -> None:
        self.failures, self.every = failures or {}, every
        self.asked: Counter[int] = Counter()
        self.at_once = self.most = 0

    async def send(self, request: Request) -> Reply:
        number = int(request.messages[0].content)
        self.asked[number] += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(random.random() / 500)
        finally:
            self.at_once -= 1
        if self.every is not None:
            raise self.every
        if left := self.failures.get(number):
            raise left.pop()
        return Reply(f"answer {number}")


class Kept:
    def __init__(self) -> None:
        self.answers: list[Answered] = []

    def __call__(self, answers: Sequence[Answered]) -> None:
        self.answers.extend(answers)


def carried(teacher: Teacher, count: int, concurrency: int = 8, look: object = lambda _totals: None) -> tuple[Totals, Kept]:
    kept = Kept()
    in_flight = InFlight(teacher.send, concurrency, SOON, kept, look)  # type: ignore[arg-type]
    asyncio.run(in_flight.run(requests(count)))
    return in_flight.totals, kept


def test_every_request_is_answered_once_and_no_more_than_asked_are_in_flight() -> None:
    teacher = Teacher()
    totals, kept = carried(teacher, 100)
    assert teacher.most == 8
    assert sorted(int(each.request.messages[0].content) for each in kept.answers) == list(range(100))
    assert all(each.reply.text == f"answer {each.request.messages[0].content}" for each in kept.answers)
    assert (totals.answered, totals.failed, totals.retries) == (100, 0, 0)


def test_faults_that_pass_are_retried_and_counted() -> None:
    teacher = Teacher({3: [RequestFailed("busy")] * 2, 4: [RequestFailed("busy", wait=0.002)], 5: [RequestFailed("no", again=False)]})
    totals, kept = carried(teacher, 10)
    assert (totals.answered, totals.failed, totals.retries) == (9, 1, 3)
    assert {int(each.request.messages[0].content): each.attempts for each in kept.answers if each.attempts > 1} == {3: 3, 4: 2}
    assert totals.reasons == {"no": 1}
    assert teacher.asked[5] == 1


def test_a_fault_that_stays_fails_for_good_after_the_last_retry() -> None:
    teacher = Teacher({3: [RequestFailed("busy")] * 9})
    totals, _ = carried(teacher, 10)
    assert (totals.answered, totals.failed) == (9, 1)
    assert teacher.asked[3] == 3


def test_a_server_that_is_gone_ends_the_run_and_keeps_what_came() -> None:
    teacher = Teacher(every=RequestFailed("no connection", again=False))
    with pytest.raises(RunFailed, match=r"20 requests in a row failed, the last with: no connection.*resume"):
        carried(teacher, 1000, concurrency=1)
    assert teacher.asked.total() <= 21


def test_a_refused_key_ends_the_run_at_once() -> None:
    teacher = Teacher({3: [RequestFailed("the server refuses the key", fatal=True)]})
    with pytest.raises(RunFailed, match="refuses the key"):
        carried(teacher, 1000, concurrency=1)
    assert teacher.asked.total() <= 5


def test_cancelling_gives_up_what_is_in_flight() -> None:
    teacher, kept = Teacher(), Kept()

    def look(totals: Totals) -> None:
        if totals.answered >= 50:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        asyncio.run(InFlight(teacher.send, 8, SOON, kept, look).run(requests(1000)))
    assert 50 <= len(kept.answers) <= 58
    assert teacher.at_once == 0


def test_a_fault_of_the_program_is_not_taken_for_one_of_the_server() -> None:
    class Broken(Teacher):
        async def send(self, request: Request) -> Reply:
            raise KeyError("bug")

    with pytest.raises(KeyError):
        carried(Broken(), 3)


def test_answers_that_come_with_the_end_are_kept() -> None:
    """All of a group that one bad request is part of, and what is ready when the user cancels."""
    gate = asyncio.Event()

    async def send(request: Request) -> Reply:
        number = int(request.messages[0].content)
        if number == 7:
            gate.set()
            raise KeyError("bug")
        await gate.wait()
        return Reply("answer")

    kept = Kept()
    with pytest.raises(KeyError):
        asyncio.run(InFlight(send, 8, SOON, kept, lambda _totals: None).run(requests(8)))
    assert len(kept.answers) == 7


def test_pauses_grow_and_a_server_that_asks_for_longer_gets_it() -> None:
    patience = Patience(first_pause=1.0)
    for attempt, most in enumerate((1, 2, 4, 8)):
        assert all(most / 2 <= patience.pause(attempt, None) <= most for _ in range(50))
    assert patience.pause(0, 17.0) == 17.0
    assert patience.pause(60, None) <= 60
