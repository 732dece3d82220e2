"""The built-in text is the same on every machine, its split keeps a module's kin together, a user's file is refused in a sentence."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import text
from core.errors import RequestError

MODULES = st.from_regex(r"[a-z][a-z_]{0,10}[a-z]", fullmatch=True)


@given(MODULES)
def test_a_module_its_underscore_twin_its_package_and_its_tests_share_a_split(module: str) -> None:
    kin = [f"{module}.py", f"_{module}.py", f"{module}/__init__.py", f"{module}/deep/inner.py", f"test/test_{module}.py", f"test/test_{module}/x.py"]
    assert len({text.is_held_out(Path(path)) for path in kin}) == 1


def test_the_split_is_fixed() -> None:
    """SHA-256 of the family name below 12/256: changing this rule would move evaluation text into training."""
    for module in ("json", "asyncio", "heapq", "dataclasses", "zipfile", "typing", "string"):
        assert text.is_held_out(Path(f"{module}.py")) == (hashlib.sha256(module.encode()).digest()[0] < 12)


def test_no_document_is_in_both_splits_and_none_is_empty() -> None:
    train = dict(text.documents_of("train"))
    held_out = dict(text.documents_of("held-out"))
    assert train
    assert held_out
    assert not train.keys() & held_out.keys()
    assert not {path.split("/")[0].removesuffix(".py") for path in train} & {path.split("/")[0].removesuffix(".py") for path in held_out}
    assert all(document.strip() and "\0" not in document for document in (train | held_out).values())


def test_no_held_out_document_comes_from_what_distributions_package_apart() -> None:
    assert not {path.split("/")[0] for path, _ in text.documents_of("held-out")} & {
        "test",
        "idlelib",
        "lib2to3",
        "distutils",
        "tkinter",
        "site-packages",
    }


def test_documents_stand_in_an_order_that_the_file_system_does_not_choose() -> None:
    paths = [path for path, _ in text.documents_of("held-out")]
    assert paths == sorted(paths, key=lambda path: hashlib.sha256(path.encode()).digest())


def test_a_corpus_states_its_hash_and_length_in_bytes() -> None:
    corpus = text.Corpus("trial", "é\n")
    assert corpus.sha256 == hashlib.sha256(b"\xc3\xa9\n").hexdigest()
    assert corpus.n_bytes == 3


def test_the_built_in_corpus_is_loaded_by_name() -> None:
    assert text.load("builtin") == inspect.unwrap(text.builtin)("held-out"), "read twice, the same text"
    assert text.builtin("held-out").name == "python-stdlib/held-out"


def test_a_users_file_is_its_text(tmp_path: Path) -> None:
    path = tmp_path / "novel.txt"
    path.write_text("Es war einmal…\n", encoding="utf-8")
    assert text.load(str(path)) == text.Corpus("novel.txt", "Es war einmal…\n")


def test_what_is_no_text_is_refused_with_a_way_out(tmp_path: Path) -> None:
    latin, empty = tmp_path / "latin.txt", tmp_path / "empty.txt"
    latin.write_bytes(b"caf\xe9")
    empty.write_text(" \n")
    for path, sentence in (
        (latin, r"latin\.txt is not UTF-8 text \(byte 3\): convert it"),
        (empty, r"empty\.txt is empty"),
        (tmp_path / "absent.txt", r"cannot read the text .*absent\.txt: No such file"),
        (Path("nul\0byte"), r"cannot read the text nul�byte: it is not a file name"),
        (tmp_path / "\x1b[2J", r"cannot read the text .*�\[2J: No such file"),
        (tmp_path, r"cannot read the text .*: Is a directory"),
    ):
        with pytest.raises(RequestError, match=sentence):
            text.user(path)


@given(st.lists(st.text("ab\n\U0001f600", max_size=6), min_size=1, max_size=6), st.integers(0, 40), st.integers(0, 40))
def test_a_piece_is_a_slice_of_the_whole(documents: list[str], first: int, second: int) -> None:
    begin, end = sorted((first, second))
    corpus = text.Corpus("trial", tuple(documents))
    whole = text.Corpus("trial", "\n".join(documents))
    assert corpus.piece(begin, end) == whole.text[begin:end]
    assert corpus.text == whole.text
    assert (corpus.length, corpus.n_bytes, corpus.sha256) == (len(whole.text), whole.n_bytes, whole.sha256)
