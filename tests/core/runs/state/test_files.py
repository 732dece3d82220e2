"""A file is whole or it is the one that was there before."""

from __future__ import annotations

import errno
import json
import math
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.runs.state import files

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_what_is_written_is_strict_json_with_nan_and_infinity_as_null(document: object) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    def expected(value: object) -> object:
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, dict):
            return {key: expected(item) for key, item in value.items()}
        return [expected(item) for item in value] if isinstance(value, list) else value

    assert json.loads(files.dumps(document), parse_constant=refuse) == expected(document)


def test_a_reader_never_sees_half_a_file_while_it_is_being_replaced(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    documents = [{"n": n, "padding": "x" * (20_000 * (n % 3))} for n in range(60)]
    files.write_json(path, documents[0])
    seen: list[int] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            document = files.read_json(path)
            assert document == documents[document["n"]]
            seen.append(document["n"])

    reader = threading.Thread(target=read)
    reader.start()
    for document in documents:
        files.write_json(path, document, durable=False)
    over.set()
    reader.join()
    assert seen
    assert seen == sorted(seen)
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    files.write_json(path, {"old": True})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_json(path, {"old": False})
    assert files.read_json(path) == {"old": True}
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]


def test_a_stale_nfs_handle_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    files.write_json(path, {"n": 1})
    true_read, calls = Path.read_bytes, []

    def stale_once(self: Path) -> bytes:
        calls.append(self)
        if len(calls) == 1:
            raise OSError(errno.ESTALE, "Stale file handle")
        return true_read(self)

    monkeypatch.setattr(Path, "read_bytes", stale_once)
    assert files.read_json(path) == {"n": 1}
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("number", "word"),
    [(errno.ENOSPC, "no space left"), (errno.EDQUOT, "no space left"), (errno.EROFS, "is not writable"), (errno.EACCES, "is not writable")],
)
def test_every_refusal_of_the_disk_is_one_sentence_that_names_the_place(number: int, word: str) -> None:
    sentence = files.why(OSError(number, os.strerror(number), "/data/out"), "/elsewhere")
    assert word in sentence
    assert "/data/out" in sentence
    assert "\n" not in sentence
