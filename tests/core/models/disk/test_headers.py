"""A safetensors header is believed only where it is true."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file

from core.errors import RequestError
from core.models.disk.headers import model_tensors, read_header

TENSORS = {
    "a.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "b.weight": torch.ones(4, dtype=torch.bfloat16),
    "c": torch.tensor(7, dtype=torch.int64),
    "d": torch.zeros(0, 5, dtype=torch.float16),
}


def write(path: Path, entries: Any, data: bytes = b"", length: int | None = None) -> Path:
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    path.write_bytes((len(header) if length is None else length).to_bytes(8, "little") + header + data)
    return path


def entry(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_header_equals_what_safetensors_wrote(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file(TENSORS, path, metadata={"format": "pt"})
    header = read_header(path)
    assert header.metadata == {"format": "pt"}
    assert {name: info.shape for name, info in header.tensors.items()} == {name: tuple(tensor.shape) for name, tensor in TENSORS.items()}
    assert {name: info.dtype for name, info in header.tensors.items()} == {"a.weight": "F32", "b.weight": "BF16", "c": "I64", "d": "F16"}
    raw = path.read_bytes()
    for name, tensor in TENSORS.items():
        info = header.tensors[name]
        assert raw[info.begin : info.end] == tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize(
    ("entries", "data", "word"),
    [
        ({"t": entry()}, b"123", "truncated"),
        ({"t": entry(offsets=(0, 400))}, b"1234", "truncated"),
        ({"t": entry()}, b"12345678", "after its last tensor"),
        ({"t": entry(), "u": entry(offsets=(2, 6))}, b"123456", "overlaps"),
        ({"t": entry(), "u": entry(offsets=(5, 9))}, b"123456789", "belong to no tensor"),
        ({"t": entry(shape=(2,))}, b"1234", "does not match"),
        ({"t": entry(shape=(-1,))}, b"1234", "invalid shape"),
        ({"t": entry(shape=(True,))}, b"1234", "invalid shape"),
        ({"t": entry(shape=(1.0,))}, b"1234", "invalid shape"),
        ({"t": entry(shape=[1] * 1000)}, b"1234", "invalid shape"),
        ({"t": entry(shape=[2**62, 2**62, 2**62])}, b"1234", "does not match"),
        ({"t": entry(offsets=(4, 0))}, b"1234", "data_offsets"),
        ({"t": entry(offsets=(-4, 0))}, b"1234", "data_offsets"),
        ({"t": entry(dtype="F12")}, b"1234", "unknown dtype"),
        ({"t": entry() | {"more": 1}}, b"1234", "described"),
        ({"t": 5}, b"1234", "described"),
        ([1, 2], b"", "JSON object"),
        ({"__metadata__": {"a": 1}}, b"", "__metadata__"),
        (b"{", b"", "valid JSON"),
        (b"\xff\xfe", b"", "UTF-8"),
        (b'{"t":1,"t":2}', b"", "twice"),
        (b"[" * 100_000, b"", "deeply"),
        (b'{"t":' + b"9" * 5000 + b"}", b"", "JSON"),
    ],
)
def test_a_lying_header_is_refused_with_one_sentence(tmp_path: Path, entries: Any, data: bytes, word: str) -> None:
    path = write(tmp_path / "m.safetensors", entries, data)
    with pytest.raises(RequestError, match=word) as caught:
        read_header(path)
    sentence = str(caught.value)
    assert "m.safetensors" in sentence
    assert "\n" not in sentence


def test_length_field_is_not_believed(tmp_path: Path) -> None:
    for length, word in [(2**63, "100,000,000"), (99_000_000, "truncated"), (50, "truncated")]:
        tracemalloc.start()
        with pytest.raises(RequestError, match=word):
            read_header(write(tmp_path / "m.safetensors", {}, length=length))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**20


@pytest.mark.parametrize("content", [b"", b"1234567", b"\0" * 8])
def test_files_that_are_no_safetensors(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(RequestError):
        read_header(tmp_path / "m.safetensors")


def test_escape_sequences_in_names_do_not_reach_the_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "m.safetensors", {"\x1b[2J\x9bevil\n": entry(shape=(9,))}, b"1234")
    with pytest.raises(RequestError) as caught:
        read_header(path)
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in str(caught.value))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_crash_and_what_passes_agrees_with_safetensors(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(save(TENSORS))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(raw) - 1))
        raw[position] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    path = tmp_path / f"{data.draw(st.integers(0, 2**60))}.safetensors"
    path.write_bytes(raw)
    try:
        header = read_header(path)
    except RequestError:
        return
    finally:
        raw_copy = bytes(raw)
        path.unlink()
    path.write_bytes(raw_copy)
    try:
        with safe_open(path, framework="pt") as reference:
            assert set(reference.keys()) == set(header.tensors)
    except SafetensorError:
        pytest.fail("a header was accepted that safetensors refuses")
    finally:
        path.unlink()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
tensor_like = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "I8", "BOOL", "F4", "nope"]) | json_values,
        "shape": st.lists(st.integers(-1, 4), max_size=3) | json_values,
    },
    optional={"data_offsets": st.lists(st.integers(-1, 40), min_size=2, max_size=2) | json_values},
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=st.dictionaries(st.text(max_size=6) | st.just("__metadata__"), tensor_like | json_values, max_size=4), size=st.integers(0, 40))
def test_any_json_as_a_header_is_accepted_or_refused(tmp_path: Path, entries: Any, size: int) -> None:
    path = tmp_path / f"{abs(hash((str(entries), size)))}.safetensors"
    try:
        header = read_header(write(path, entries, b"\0" * size))
    except RequestError:
        return
    finally:
        path.unlink()
    assert sum(info.nbytes for info in header.tensors.values()) == size


def sharded(folder: Path) -> dict[str, Any]:
    save_file({"a.weight": TENSORS["a.weight"]}, folder / "model-00001-of-00002.safetensors")
    save_file({"b.weight": TENSORS["b.weight"]}, folder / "model-00002-of-00002.safetensors")
    return {"a.weight": "model-00001-of-00002.safetensors", "b.weight": "model-00002-of-00002.safetensors"}


def index(folder: Path, weight_map: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_shards_are_found_through_the_index(tmp_path: Path) -> None:
    index(tmp_path, sharded(tmp_path))
    found = model_tensors(tmp_path)
    assert {name: location.file.name for name, location in found.items()} == sharded(tmp_path)


@pytest.mark.parametrize(
    "file", ["../model.safetensors", "/etc/passwd", "sub/model.safetensors", "..", "a\\b.safetensors", "x\0.safetensors", "", "model.bin"]
)
def test_an_index_that_points_out_of_its_folder_is_refused(tmp_path: Path, file: str) -> None:
    save_file(TENSORS, tmp_path / "model.safetensors")
    inner = tmp_path / "model"
    inner.mkdir()
    index(inner, {"a.weight": file})
    with pytest.raises(RequestError, match="points to"):
        model_tensors(inner)


def test_missing_shards_and_tensors_are_named(tmp_path: Path) -> None:
    weight_map = sharded(tmp_path)
    index(tmp_path, weight_map | {"z": "model-00001-of-00002.safetensors"})
    with pytest.raises(RequestError, match="'z'"):
        model_tensors(tmp_path)
    index(tmp_path, weight_map)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(RequestError, match=r"00002-of-00002.safetensors .* is missing"):
        model_tensors(tmp_path)


@pytest.mark.parametrize("weight_map", [None, [], {"a": 1}, "x"])
def test_an_index_without_a_map_is_refused(tmp_path: Path, weight_map: Any) -> None:
    index(tmp_path, weight_map)
    with pytest.raises(RequestError, match="weight_map"):
        model_tensors(tmp_path)
