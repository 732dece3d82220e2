"""Engines are found by name, and only the named one is imported."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from core import engine
from core.engine import Command, Endpoint, Engine, ServeSpec
from core.errors import RequestError


def points(monkeypatch: pytest.MonkeyPatch, **named: str) -> None:
    found = [EntryPoint(name, value, engine.GROUP) for name, value in named.items()]
    monkeypatch.setattr(engine, "_points", lambda: found)


class Nothing:
    """Lacks everything but a name."""

    facts = None


def test_the_names_are_known_without_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    points(monkeypatch, beta="does.not:Exist", alpha="nor.does:This")
    assert engine.names() == ("alpha", "beta")


@pytest.mark.parametrize(
    ("name", "word"),
    [("gamma", "choose one of alpha, beta"), ("alpha", "could not be imported"), ("beta", "is not an engine"), ("\x1b[2J", "unknown engine")],
)
def test_an_engine_that_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, word: str) -> None:
    points(monkeypatch, alpha="does.not:Exist", beta="tests.core.test_engine:Nothing")
    with pytest.raises(RequestError, match=word) as refused:
        engine.look_up(name)
    assert "\x1b" not in str(refused.value)


def test_every_engine_of_this_program_is_one() -> None:
    for name in engine.names():
        found = engine.look_up(name)
        assert isinstance(found, Engine)
        assert found.facts.name == name


def test_a_command_can_be_pasted_into_a_shell() -> None:
    command = Command(("/opt/a b/vllm", "serve", "it's"), {"OMP_NUM_THREADS": "2", "NAME": "two words"})
    assert command.shown() == "OMP_NUM_THREADS=2 NAME='two words' '/opt/a b/vllm' serve 'it'\"'\"'s'"


def test_a_key_is_no_part_of_an_endpoints_text() -> None:
    assert "secret" not in repr(Endpoint("http://127.0.0.1:1", key="secret"))


def test_a_server_listens_only_to_this_machine_unless_told_otherwise() -> None:
    assert ServeSpec(model="m", engine="vllm").host == "127.0.0.1"
