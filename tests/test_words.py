"""The word list: what it finds, and that only fewer are ever left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import words


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("the person is told", ["told, tells", "the person"]),
        ("It stands beside the form and goes on", ["beside", "goes on", "stands"]),
        ("tokens a second, bytes a token", ["a token, a second", "a token, a second"]),
        ("a load that goes on a server, and goes on", ["goes on"]),
        ("this is no target; there is no model", ["is no target"]),
        ("it is no longer needed, no more than that", []),
        ("Load-test a server: tokens per second, next to the baseline", []),
    ],
)
def test_idioms_are_found_where_they_are_meant(text: str, names: list[str]) -> None:
    assert sorted(name for name, _, _ in words.places(text)) == sorted(names)


def test_only_strings_and_comments_of_code_count(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text('"""Doc."""\ntold = beside  # the person\nsay = f"a {told} text\\n"\n')
    assert [text for _, text in words.prose(file) if list(words.places(text))] == ["# the person"]


@pytest.mark.parametrize(("left", "code", "after"), [(1, 1, 1), (2, 0, 2), (5, 0, 2)])
def test_more_fail_and_fewer_are_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, code: int, after: int) -> None:
    (tmp_path / "page.md").write_text("This stands here, and that stands there.\n")
    file = tmp_path / "words.json"
    file.write_text(json.dumps({"stands": left, "beside": 0}))
    monkeypatch.setattr(words, "ROOT", tmp_path)
    monkeypatch.setattr(words, "LEFT", file)
    assert words.main([]) == code
    assert json.loads(file.read_text())["stands"] == after


def test_no_idiom_comes_back() -> None:
    counted = [name for name, _ in words.all_places()]
    assert {name for name in words.IDIOMS if counted.count(name) > json.loads(words.LEFT.read_text()).get(name, 0)} == set()
