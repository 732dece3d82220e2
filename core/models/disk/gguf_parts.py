"""A GGUF model in one file or several: llama.cpp splits it into `NAME-00001-of-00005.gguf` and so on, of which only the first has the metadata."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import RequestError
from core.models.disk.files import shown
from core.models.disk.gguf_header import GgufHeader, read_gguf_header
from core.sanitize import clean

_NAMED = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
_MOST_PARTS = 10_000


@dataclass(frozen=True)
class GgufParts:
    """A model's files."""

    header: GgufHeader
    """Metadata of the first file, tensors of all."""
    parts: tuple[tuple[Path, GgufHeader], ...]

    @property
    def bytes(self) -> int:
        """Of the tensors in all files, paddings counted; however a model is split, the same."""
        return sum(path.stat().st_size - header.data_begin for path, header in self.parts)


def read_gguf_parts(path: Path, *, long_arrays: bool = False) -> GgufParts:
    """The headers of all files of the model that a file is a part of.

    Args:
        path: of any of them.
        long_arrays: keep the items of long arrays too.

    Raises:
        RequestError: a part that is missing, damaged or of another model, or one that was renamed so that the others cannot be found.
    """
    header = read_gguf_header(path, long_arrays=long_arrays)
    count = header.metadata.get("split.count", 1)
    if type(count) is not int or count <= 1:
        return GgufParts(header, ((path, header),))
    named = _NAMED.fullmatch(path.name)
    if named is None or int(named[3]) != count or count > _MOST_PARTS:
        raise RequestError(
            f"{shown(path)} is one part of {count:,} of a model, and its name does not say which: name the parts "
            f"NAME-00001-of-{min(count, 99999):05}.gguf and so on, as llama.cpp does"
        )
    parts = []
    for number in range(1, count + 1):
        file = path.with_name(f"{named[1]}-{number:05}-of-{count:05}.gguf")
        if not file.is_file():
            raise RequestError(f"{shown(path)} is one part of {count:,}, and {clean(file.name, limit=200)} is missing next to it: fetch all parts")
        part = read_gguf_header(file, long_arrays=long_arrays and number == 1)
        if (part.metadata.get("split.no"), part.metadata.get("split.count")) != (number - 1, count):
            raise RequestError(f"{shown(file)} is not part {number:,} of {count:,}, as its name says: fetch the parts again")
        parts.append((file, part))
    tensors = tuple(tensor for _, part in parts for tensor in part.tensors)
    stated = parts[0][1].metadata.get("split.tensors.count", len(tensors))
    if stated != len(tensors):
        raise RequestError(f"the {count:,} parts of {shown(path)} hold {len(tensors):,} tensors, and should hold {stated}: fetch the parts again")
    return GgufParts(replace(parts[0][1], tensors=tensors), tuple(parts))


def is_later_part(name: str) -> bool:
    """Whether a file name is that of a part other than the first."""
    named = _NAMED.fullmatch(name)
    return named is not None and int(named[2]) > 1


def first_part(path: str) -> str:
    """The path of a model's first part, which llama.cpp asks for; any other path as it is."""
    folder, separator, name = path.rpartition("/")
    named = _NAMED.fullmatch(name)
    return path if named is None else f"{folder}{separator}{named[1]}-00001-of-{named[3]}.gguf"
