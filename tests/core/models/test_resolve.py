"""Names become models, or one sentence that says how to mend it, before any long work."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import RequestError
from core.models.find import listing
from core.models.find.hub_cache import cache_folder, is_model_id
from core.models.resolve import list_models, require_folder, require_unquantized, resolve

CONTROL = {chr(code) for code in (*range(32), *range(127, 160))}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, an empty working directory, no network."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("LLMOPT_MODELS", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def complaint(name: str | Path) -> str:
    with pytest.raises(RequestError) as caught:
        resolve(str(name))
    sentence = str(caught.value)
    assert not CONTROL & set(sentence)
    assert caught.value.exit_code == 2
    return sentence


def copy(source: Path, target: Path, **config: Any) -> Path:
    shutil.copytree(source, target)
    stated = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**stated, **config}))
    return target


def cache(source: Path, model_id: str, commit: str = "0123abcd", ref: str | None = "main") -> Path:
    repository = cache_folder() / f"models--{model_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    shutil.copytree(source, snapshot)
    if ref:
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / ref).write_text(commit)
    return snapshot


def test_a_local_folder(tiny_llama_dir: Path) -> None:
    source = resolve(str(tiny_llama_dir))
    assert (source.path, source.kind, source.origin) == (tiny_llama_dir, "folder", "local")
    assert source.card().layers == 2
    assert require_folder(source) == tiny_llama_dir
    require_unquantized(source.card())


def test_a_relative_folder(tiny_llama_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_llama_dir.parent)
    source = resolve(tiny_llama_dir.name)
    assert source.name == tiny_llama_dir.name
    assert source.path.is_absolute()


def test_an_id_in_the_cache(tiny_llama_dir: Path) -> None:
    snapshot = cache(tiny_llama_dir, "org/tiny-llama.v1")
    source = resolve("org/tiny-llama.v1")
    assert (source.path, source.origin) == (snapshot, "cache")


def test_the_cache_follows_main_and_does_without_it(tiny_llama_dir: Path) -> None:
    main = cache(tiny_llama_dir, "org/a", "aaaa")
    cache(tiny_llama_dir, "org/a", "bbbb", ref=None)
    assert resolve("org/a").path == main
    (main.parents[1] / "refs" / "main").write_text("../../../../etc")
    assert resolve("org/a").path.name in {"aaaa", "bbbb"}


def test_an_id_that_is_not_in_the_cache_while_offline() -> None:
    sentence = complaint("org/not-there")
    assert "HF_HUB_OFFLINE" in sentence
    assert "cache" in sentence


@pytest.mark.parametrize("name", ["/no/such/path", "./nothing", "~nobody/x", "a/b/c", "model.gguf", "..", "a b", "x\x1b[2J/y", "-", "--help/x"])
def test_no_such_path(name: str) -> None:
    if name == "..":
        assert "config.json" in complaint(name)
    else:
        assert "no such path" in complaint(name)


@pytest.mark.parametrize("name", ["", "  ", "a\0b"])
def test_no_name_at_all(name: str) -> None:
    assert "no model given" in complaint(name)


@pytest.mark.parametrize("name", ["bundled:", "bundled:nothing", "bundled:../../..", "bundled:\x1b[31m"])
def test_a_bundled_model_that_is_not_there(name: str) -> None:
    assert "is not in this installation" in complaint(name)


def test_bundled_models_are_found_in_the_package(tiny_llama_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy(tiny_llama_dir, tmp_path / "bundled" / "base")
    (tmp_path / "bundled" / "draft").mkdir()
    monkeypatch.setattr(listing, "BUNDLED", tmp_path / "bundled")
    assert resolve("bundled:base").origin == "bundled"
    assert "bundled:base" in complaint("bundled:draft")
    assert [source.name for source in list_models().sources] == ["bundled:base"]


def test_a_folder_without_config(tmp_path: Path) -> None:
    assert "no config.json" in complaint(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "adapter" in complaint(tmp_path)
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert str(tmp_path / "m.gguf") in complaint(tmp_path)


def test_pickled_weights_only(tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = copy(tiny_llama_dir, tmp_path / "m")
    (folder / "model.safetensors").unlink()
    assert "no weights" in complaint(folder)
    (folder / "pytorch_model.bin").write_bytes(b"PK")
    assert "pickled" in complaint(folder)
    assert "save_pretrained" in complaint(folder / "pytorch_model.bin")


def test_pipes_are_not_waited_for(tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = copy(tiny_llama_dir, tmp_path / "m")
    (folder / "model.safetensors").unlink()
    for pipe in (folder / "model.safetensors", tmp_path / "m.gguf"):
        os.mkfifo(pipe)
    assert "not a file" in complaint(folder)
    assert "not a file" in complaint(tmp_path / "m.gguf")
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    assert "no config.json" in complaint(folder)


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert "not a model" in complaint(tmp_path / "notes.txt")
    (tmp_path / "m.gguf").write_bytes(b"hello, world")
    assert "not a GGUF file" in complaint(tmp_path / "m.gguf")


def test_lying_headers_are_found_when_the_model_is_named(tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = copy(tiny_llama_dir, tmp_path / "m")
    with (folder / "model.safetensors").open("r+b") as stream:
        stream.truncate(5000)
    assert "truncated" in complaint(folder) or "after the end" in complaint(folder)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"model_type": "llama-next-next"}, "does not know"),
        ({"model_type": "llama-next", "auto_map": {"AutoConfig": "x.Y"}}, "its own code"),
        ({"model_type": "clip"}, "not a language model"),
        ({"model_type": None}, "no model_type"),
        ({"model_type": "\x1b[2J"}, "does not know"),
        ({"model_type": ["llama"]}, "no model_type"),
    ],
)
def test_model_types_that_transformers_cannot_run(tiny_llama_dir: Path, tmp_path: Path, config: dict[str, Any], word: str) -> None:
    assert word in complaint(copy(tiny_llama_dir, tmp_path / "m", **config))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100_000, "\udcff"])
def test_a_config_that_is_no_object(tiny_llama_dir: Path, tmp_path: Path, text: str) -> None:
    folder = copy(tiny_llama_dir, tmp_path / "m")
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "config.json" in complaint(folder)


def test_a_config_of_absurd_size_is_not_read(tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = copy(tiny_llama_dir, tmp_path / "m")
    with (folder / "config.json").open("wb") as stream:
        stream.truncate(2**40)
    assert "larger than 16 MiB" in complaint(folder)


def test_a_gguf_where_a_folder_is_needed_and_a_quantized_checkpoint(tiny_llama_dir: Path, tmp_path: Path) -> None:
    from tests.core.models.disk.test_gguf import write_gguf

    with pytest.raises(RequestError, match="GGUF file"):
        require_folder(resolve(str(write_gguf(tmp_path / "m.gguf"))))
    quantized = copy(tiny_llama_dir, tmp_path / "m", quantization_config={"quant_method": "gp\x1btq", "bits": 4})
    with pytest.raises(RequestError, match="already quantized") as caught:
        require_unquantized(resolve(str(quantized)).card())
    assert not CONTROL & set(str(caught.value))


def test_a_name_with_escape_sequences_resolves_and_is_shown_without_them(tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = copy(tiny_llama_dir, tmp_path / "\x1b]0;x\x07\n[red]m")
    source = resolve(str(folder))
    assert source.path == folder
    assert not CONTROL & set(source.title + source.card().name)
    (folder / "model.safetensors").unlink()
    complaint(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = copy(tiny_llama_dir, tmp_path / "m")
    folder.chmod(0)
    try:
        assert "cannot read" in complaint(folder)
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize(("name", "is_id"), [("gpt2", True), ("a/b", True), ("a/b/c", False), ("/a", False), ("a--b/c", False), ("a..b/c", False)])
def test_what_may_be_an_id(name: str, is_id: bool) -> None:
    assert is_model_id(name) == is_id


def test_listing_names_models_everywhere_and_reports_broken_ones(
    tiny_llama_dir: Path, tmp_path: Path, llmopt_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.core.models.disk.test_gguf import write_gguf

    copy(tiny_llama_dir, tmp_path / "shelf" / "one")
    copy(tiny_llama_dir, tmp_path / "shelf" / "\x1b[2Jtwo")
    write_gguf(tmp_path / "shelf" / "three.gguf")
    broken = copy(tiny_llama_dir, tmp_path / "shelf" / "broken")
    (broken / "config.json").write_text("{")
    empty = copy(tiny_llama_dir, tmp_path / "shelf" / "weightless")
    (empty / "model.safetensors").unlink()
    copy(tiny_llama_dir, tmp_path / "shelf" / "bert-tower", model_type="clip")
    copy(tiny_llama_dir, Path.cwd() / "models" / "four")
    copy(tiny_llama_dir, llmopt_home / "runs" / "20260101-quantize" / "artifacts" / "quantized")
    cache(tiny_llama_dir, "org/five")
    monkeypatch.setattr(listing, "BUNDLED", tmp_path / "none")
    monkeypatch.setenv("LLMOPT_MODELS", f"{tmp_path / 'shelf'}{os.pathsep}{tmp_path / 'missing'}{os.pathsep}{tmp_path / 'shelf' / 'one'}")
    found = list_models()
    assert [source.path.name for source in found.sources] == ["\x1b[2Jtwo", "one", "three.gguf", "four", "quantized", "0123abcd"]
    assert found.sources[-1].name == "org/five"
    assert {Path(problem.name).name for problem in found.problems} == {"broken", "weightless", "missing"}
    for text in [problem.name + problem.reason for problem in found.problems] + [source.title for source in found.sources]:
        assert not CONTROL & set(text)
    for source in found.sources:
        assert resolve(source.name).path == source.path
