"""A checkpoint is whole under its final name, or not there at all."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from core.errors import RequestError, RunFailed
from core.formats.writing import safetensors_file
from core.formats.writing.safetensors_file import SafetensorsFile
from core.formats.writing.shards import ShardWriter, check_output
from core.models.disk.headers import model_tensors, read_header

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.int32, torch.int64, torch.int8, torch.uint8, torch.bool, torch.float8_e4m3fn]


def random_tensors(shapes: list[tuple[int, ...]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {f"t.{index}": (torch.rand(shape, generator=generator) * 100).to(DTYPES[index % len(DTYPES)]) for index, shape in enumerate(shapes)}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(
        one[name].dtype == two[name].dtype
        and one[name].shape == two[name].shape
        and torch.equal(one[name].reshape(-1).view(torch.uint8), two[name].reshape(-1).view(torch.uint8))
        for name in one
    )


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def original(tmp_path: Path) -> Path:
    folder = tmp_path / "original"
    (folder / "chat_templates").mkdir(parents=True)
    (folder / "additional_chat_templates").mkdir()
    for name in [
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
        "chat_template.jinja",
        "chat_templates/tool.jinja",
        "additional_chat_templates/rag.jinja",
        "video_preprocessor_config.json",
        "processor_config.json",
        "tekken.json",
        "vocab.bpe",
        "vocab.tiktoken",
        "sentencepiece.bpe.model",
        "LICENSE",
        "README.md",
        "tokenizer.model",
        "vocab.json",
        "merges.txt",
        "config.json",
        "modeling_evil.py",
        "pytorch_model.bin",
        "model.safetensors",
    ]:
        (folder / name).write_text(name)
    return folder


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shapes=st.lists(st.lists(st.integers(0, 9), max_size=3).map(tuple), min_size=1, max_size=12),
    room=st.sampled_from([8, 64, 2**20]),
    moved=st.sampled_from([0, 2**29]),
)
def test_what_is_written_is_what_safetensors_reads(tmp_path: Path, shapes: list[tuple[int, ...]], room: int, moved: int) -> None:
    """Whether the header's room was too small, too large and closed up, or too large and filled with spaces."""
    tensors = random_tensors(shapes)
    path = tmp_path / "m.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(safetensors_file, "_MOVED", moved)
        patch.setattr(safetensors_file, "_CHUNK", 100)
        file = SafetensorsFile(path, room)
        for name, tensor in tensors.items():
            file.append(name, tensor)
        file.close()
    assert same(load_file(path), tensors)
    header = read_header(path)
    assert set(header.tensors) == set(tensors)
    assert header.metadata == {"format": "pt"}
    begin = min(info.begin for info in header.tensors.values())
    assert all((info.begin - begin) % tensors[name].element_size() == 0 for name, info in header.tensors.items())


def test_one_shard_takes_the_single_files_name(tmp_path: Path, original: Path) -> None:
    tensors = random_tensors([(4, 4), (3,)])
    with ShardWriter(tmp_path / "out") as writer:
        for name, tensor in tensors.items():
            writer.add(name, tensor)
        assert writer.finish({"model_type": "llama"}, original) == tmp_path / "out"
    assert same(load_file(tmp_path / "out" / "model.safetensors"), tensors)
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == {"model_type": "llama"}
    assert entries(tmp_path / "out") == {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
        "generation_config.json",
        "chat_template.jinja",
        "chat_templates",
        "additional_chat_templates",
        "video_preprocessor_config.json",
        "processor_config.json",
        "tekken.json",
        "vocab.bpe",
        "vocab.tiktoken",
        "sentencepiece.bpe.model",
        "LICENSE",
        "vocab.json",
        "merges.txt",
    }
    assert entries(tmp_path / "out" / "additional_chat_templates") == {"rag.jinja"}
    assert entries(tmp_path) == {"out", "original"}


def test_shards_keep_to_their_size_and_are_indexed(tmp_path: Path, original: Path) -> None:
    tensors = {f"t{index}": torch.full((250,), float(index)) for index in range(7)} | {"large": torch.zeros(5000)}
    with ShardWriter(tmp_path / "out", max_shard_bytes=2500) as writer:
        for name, tensor in tensors.items():
            writer.add(name, tensor)
        assert writer.nbytes == 7 * 1000 + 20_000
        writer.finish({}, original)
    located = model_tensors(tmp_path / "out")
    assert set(located) == set(tensors)
    shards = sorted({location.file for location in located.values()})
    assert [shard.name for shard in shards] == [f"model-0000{index + 1}-of-00005.safetensors" for index in range(5)]
    assert same({name: tensor for shard in shards for name, tensor in load_file(shard).items()}, tensors)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 27_000


def test_transformers_loads_what_was_written(tiny_llama_dir: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    weights = load_file(tiny_llama_dir / "model.safetensors")
    with ShardWriter(tmp_path / "out", max_shard_bytes=50_000) as writer:
        for name, tensor in weights.items():
            writer.add(name, tensor)
        writer.finish(json.loads((tiny_llama_dir / "config.json").read_text()), tiny_llama_dir)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert same({name: tensor for name, tensor in model.state_dict().items() if name in weights}, weights)
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("x").input_ids


def test_views_and_transposed_tensors_are_written_as_they_look(tmp_path: Path, original: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    with ShardWriter(tmp_path / "out") as writer:
        writer.add("t", base.T)
        writer.add("row", base[1])
        writer.finish({}, original)
    with safe_open(tmp_path / "out" / "model.safetensors", framework="pt") as file:
        assert torch.equal(file.get_tensor("t"), base.T)
        assert torch.equal(file.get_tensor("row"), base[1])


def test_an_output_that_exists_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for path in [tmp_path, tmp_path / "file", tmp_path / "dangling"]:
        with pytest.raises(RequestError, match="exists"):
            check_output(path)
        with pytest.raises(RequestError, match="exists"):
            ShardWriter(path)
    with pytest.raises(RequestError, match=r"not a folder|Not a directory"):
        check_output(tmp_path / "file" / "out")
    check_output(tmp_path / "new" / "out")
    assert entries(tmp_path) == {"file", "dangling"}
    assert (tmp_path / "file").read_text() == "mine"


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "out") as writer:
        writer.add("t", torch.zeros(2))
        with pytest.raises(RequestError, match="twice"):
            writer.add("t", torch.zeros(2))


def test_leaving_without_finishing_leaves_nothing(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), ShardWriter(tmp_path / "new" / "folders" / "out") as writer:
        writer.add("t", torch.zeros(100))
        assert entries(tmp_path / "new" / "folders") == {f"out.partial-{os.getpid()}"}
        raise KeyboardInterrupt
    assert entries(tmp_path) == set()


@pytest.mark.parametrize(
    ("number", "word"),
    [(errno.ENOSPC, "is full"), (errno.EDQUOT, "is full"), (errno.EROFS, "cannot be written"), (errno.EACCES, "cannot be written")],
)
@pytest.mark.parametrize("where", ["append", "close", "config"])
def test_a_disk_that_refuses_gives_a_sentence_and_leaves_nothing(
    tmp_path: Path, original: Path, monkeypatch: pytest.MonkeyPatch, number: int, word: str, where: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    target = {"append": (SafetensorsFile, "_write"), "close": (os, "fsync"), "config": (json, "dump")}[where]
    with ShardWriter(tmp_path / "out") as writer:
        if where != "append":
            writer.add("t", torch.zeros(4))
        monkeypatch.setattr(*target, refuse)
        with pytest.raises(RunFailed, match=word) as caught:
            writer.add("u", torch.zeros(4)) if where == "append" else writer.finish({}, original)
    assert caught.value.exit_code == 1
    assert entries(tmp_path) == {"original"}


def test_a_file_system_without_folders(tmp_path: Path) -> None:
    with pytest.raises((RunFailed, RequestError)) as caught:
        ShardWriter(Path("/proc/llmopt-test/out"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("count", "size"), [(1, 2**20), (9, 2**16), (2000, 300)])
def test_a_real_write_limit_is_one_sentence(tmp_path: Path, count: int, size: int) -> None:
    """The kernel refuses to let a file grow beyond RLIMIT_FSIZE."""
    program = (
        "import resource, signal, sys\nimport torch\nfrom pathlib import Path\nfrom core.errors import RunFailed\n"
        "from core.formats.writing.shards import ShardWriter\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (2**21, 2**21))\n"
        f"out = Path({str(tmp_path / 'out')!r})\n"
        f"try:\n    with ShardWriter(out) as writer:\n        [writer.add(f't{{index}}', torch.zeros({size})) for index in range({count})]\n"
        "        writer.finish({}, out.parent)\nexcept RunFailed as error:\n    print(error)\n    sys.exit(error.exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "could not be written" in done.stdout
    assert entries(tmp_path) == set()


def test_names_with_escape_sequences_are_shown_without_them(tmp_path: Path) -> None:
    evil = tmp_path / "\x1b[2Jout"
    evil.mkdir()
    with pytest.raises(RequestError) as caught:
        check_output(evil)
    assert "\x1b" not in str(caught.value)
