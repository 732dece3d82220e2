"""Safetensors headers and shard indexes, believed only after every figure was checked.

Format: 8 bytes little-endian length, that many bytes of JSON, then the tensors' bytes without holes
(https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from core.errors import RequestError
from core.models.disk.files import MAX_INDEX_BYTES, STAND_IN_BYTES, parse_json, read_object, reason, refuse_stand_in, shown
from core.sanitize import clean

MAX_HEADER_BYTES = 100_000_000
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

DTYPE_BITS: dict[str, int] = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}

_MAX_RANK = 32


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a file. `begin` and `end` are byte positions in the file (not in its data part)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return self.end - self.begin

    @property
    def numel(self) -> int:
        """Number of values."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """What a safetensors file says it holds."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class TensorLocation:
    """A tensor and the file that holds it."""

    file: Path
    info: TensorInfo


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file. The answer is cached while size and time of the file stay.

    Raises:
        RequestError: naming the file, and the tensor where it is one, for a file that cannot be read, is truncated,
            or says something about itself that is not so.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise RequestError(f"{shown(path)} is not a file: fetch the model again")
        return _read_header(path, status.st_mtime_ns, status.st_size)
    except (OSError, ValueError) as error:
        raise RequestError(f"cannot read {shown(path)}: {reason(error)}") from error


@lru_cache(maxsize=1024)
def _read_header(path: Path, _modified: int, _size: int) -> Header:
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        refuse_stand_in(path, stream.read(STAND_IN_BYTES))
        stream.seek(0)
        if size < 8:
            raise RequestError(f"{shown(path)} is not a safetensors file: it has {size} bytes; fetch it again")
        length = int.from_bytes(stream.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise RequestError(f"{shown(path)} is not a safetensors file: it claims a header of {length:,} bytes, the format allows 100,000,000")
        if length > size - 8:
            raise RequestError(f"{shown(path)} is truncated: it claims a header of {length:,} bytes and has {size - 8:,}; fetch it again")
        text = stream.read(length)
    if len(text) != length:
        raise RequestError(f"{shown(path)} is truncated: its header ends after {len(text):,} of {length:,} bytes; fetch it again")
    return parse_header(text, shown(path), data_begin=8 + length, file_size=size)


def parse_header(text: bytes, what: str, *, data_begin: int, file_size: int) -> Header:
    """Check the JSON of a header against the size of its file.

    Args:
        text: the header's bytes.
        what: names the file in a complaint, already fit to be shown.
        data_begin: position of the first byte of tensor data in the file.
        file_size: bytes of the whole file.
    """
    what_header = f"the header of {what}"
    entries = parse_json(text, what_header, unique_keys=True)
    if not isinstance(entries, dict):
        raise RequestError(f"{what_header} is not a JSON object: the file is damaged, fetch it again")
    metadata = _metadata(entries.pop("__metadata__", {}), what_header)
    tensors = {name: _tensor(name, entry, what, data_begin, file_size) for name, entry in entries.items()}
    _check_layout(tensors, what, data_begin, file_size)
    return Header(tensors, metadata)


def model_tensors(folder: Path) -> dict[str, TensorLocation]:
    """Every tensor of a model folder by name, from the files that transformers reads: of a tensor in several shards the last counts.

    Raises:
        RequestError: no safetensors, a file that is missing or damaged, an index that points out of the folder or names a tensor that no shard holds.
    """
    files = weight_files(folder)
    result = {name: TensorLocation(file, info) for file in files.paths for name, info in files.header(file).tensors.items()}
    lost = next((name for name in files.names if name not in result), None)
    if lost is not None:
        raise RequestError(f"{shown(folder / INDEX_FILE)} names {clean(lost, limit=120)!r}, and no shard holds it: fetch the model again")
    return result


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The files that a model folder's weights are read from, in reading order."""

    paths: tuple[Path, ...]
    names: tuple[str, ...] = ()
    """Tensors that the index names; empty without one."""
    entry: str | None = None
    """The file that transformers must be given by name, because it would not find it."""

    def header(self, path: Path) -> Header:
        """The header of one of them; of a damaged file next to an index the complaint names both. Raises RequestError: as of `read_header`."""
        try:
            return read_header(path)
        except RequestError as error:
            index = path.with_name(INDEX_FILE)
            if path.name != SINGLE_FILE or not index.exists():
                raise
            raise RequestError(
                f"{error}; {INDEX_FILE} next to it is not read while {SINGLE_FILE} is there: if its shards are the model, remove {SINGLE_FILE}"
            ) from error


def weight_bytes(folder: Path) -> int:
    """Bytes of a checkpoint's weight files. Raises RequestError: as `weight_files`."""
    return sum(file.stat().st_size for file in weight_files(folder).paths)


def weight_files(folder: Path) -> WeightFiles:
    """The files that transformers reads: the one that config.json names, else `model.safetensors`, else all shards of the index.

    A single file of another name is read as well, as older quantizers wrote it.

    Raises:
        RequestError: there are none, one is missing, or the index is damaged or points out of the folder.
    """
    stated = read_object(folder / "config.json").get("transformers_weights") if (folder / "config.json").is_file() else None
    if isinstance(stated, str) and not stated.endswith(".index.json"):
        return WeightFiles((_inside(folder, stated, folder / "config.json"),))
    single, index = folder / SINGLE_FILE, folder / (stated if isinstance(stated, str) else INDEX_FILE)
    if stated is None and single.is_file():
        return WeightFiles((single,))
    if index.exists():
        return _indexed(folder, index)
    others = sorted(folder.glob("*.safetensors"))
    if len(others) == 1:
        return WeightFiles((others[0],), entry=others[0].name)
    if others:
        raise RequestError(f"{shown(folder)} has {len(others)} safetensors files and no {INDEX_FILE}: fetch the index that belongs to them")
    raise RequestError(f"{shown(folder)} has no safetensors weights: give a folder with {SINGLE_FILE} or {INDEX_FILE}")


def _indexed(folder: Path, index: Path) -> WeightFiles:
    contents = read_object(index, limit=MAX_INDEX_BYTES)
    weight_map = contents.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(file, str) for file in weight_map.values()):
        raise RequestError(f"{shown(index)} has no weight_map of names to files: the file is damaged, fetch it again")
    if not isinstance(contents.get("metadata"), dict):
        raise RequestError(f'{shown(index)} has no metadata, without which transformers does not read it: add "metadata": {{}}, or fetch it again')
    return WeightFiles(tuple(_inside(folder, file, index) for file in sorted(set(weight_map.values()))), tuple(weight_map))


def _inside(folder: Path, file: str, by: Path) -> Path:
    """A weight file that another file names. Raises RequestError: it is not in the folder."""
    if not _is_plain_name(file):
        raise RequestError(f"{shown(by)} points to {clean(file, limit=120)!r}, which is not a file of that folder: do not trust this checkpoint")
    if not (folder / file).is_file():
        raise RequestError(f"the shard {clean(file, limit=120)} of {shown(folder)} is missing: fetch the model again")
    return folder / file


def _is_plain_name(file: str) -> bool:
    return bool(file) and file.endswith(".safetensors") and not set(file) & {"/", "\\", "\0"} and file not in {".", ".."}


def _metadata(value: Any, what: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise RequestError(f"{what} has a __metadata__ that is not text: the file is damaged, fetch it again")
    return value


def _tensor(name: str, entry: Any, what: str, data_begin: int, file_size: int) -> TensorInfo:
    tensor = f"the tensor {clean(name, limit=120)!r} in {what}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise RequestError(f"{tensor} is not described by dtype, shape and data_offsets: the file is damaged, fetch it again")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise RequestError(f"{tensor} has the unknown dtype {clean(str(dtype), limit=40)!r}: supported are {', '.join(sorted(DTYPE_BITS))}")
    if not _are_counts(shape) or len(shape) > _MAX_RANK:
        raise RequestError(f"{tensor} has an invalid shape: the file is damaged, fetch it again")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise RequestError(f"{tensor} has invalid data_offsets: the file is damaged, fetch it again")
    begin, end = offsets[0] + data_begin, offsets[1] + data_begin
    if end > file_size:
        raise RequestError(f"{tensor} ends {end - file_size:,} bytes after the end of the file: the file is truncated, fetch it again")
    info = TensorInfo(name, dtype, tuple(shape), begin, end)
    if info.numel * DTYPE_BITS[dtype] != info.nbytes * 8:
        raise RequestError(
            f"{tensor} holds {info.nbytes:,} bytes, which does not match its shape and dtype {dtype}: the file is damaged, fetch it again"
        )
    return info


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)


def _check_layout(tensors: dict[str, TensorInfo], what: str, data_begin: int, file_size: int) -> None:
    position = data_begin
    for info in sorted(tensors.values(), key=lambda info: (info.begin, info.end)):
        tensor = f"the tensor {clean(info.name, limit=120)!r} in {what}"
        if info.begin < position:
            raise RequestError(f"{tensor} overlaps the one before it: the file is damaged, fetch it again")
        if info.begin > position:
            raise RequestError(
                f"{tensor} leaves {info.begin - position:,} bytes before it that belong to no tensor: the file is damaged, fetch it again"
            )
        position = info.end
    if position != file_size:
        raise RequestError(f"{what} has {file_size - position:,} bytes after its last tensor: the file is damaged, fetch it again")
