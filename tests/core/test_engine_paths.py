"""Places of engines: variables, the settings file, the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from core import engine_paths
from core.errors import RequestError


def program(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / name
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    return made


@pytest.mark.parametrize("given", ["", "bin/vllm", "bin/python3"])
def test_an_environment_is_named_by_its_folder_a_program_or_its_python(tmp_path: Path, given: str) -> None:
    vllm = program(tmp_path / "bin", "vllm")
    program(tmp_path / "bin", "python")
    program(tmp_path / "bin", "python3")
    environ = {"LLMOPT_ENGINE_VLLM": str(tmp_path / given)}
    assert engine_paths.program("vllm", "vllm", environ) == (str(vllm),)
    assert engine_paths.python("vllm", environ) in {str(tmp_path / "bin" / "python"), str(tmp_path / "bin" / "python3")}


def test_the_settings_file_names_places_and_the_variable_wins(tmp_path: Path) -> None:
    first, second = program(tmp_path / "a" / "bin", "sglang"), program(tmp_path / "b" / "bin", "sglang")
    settings = tmp_path / "config.toml"
    settings.write_text(f'[engines]\nsglang = "{tmp_path / "a"}"\n')
    environ = {"LLMOPT_CONFIG": str(settings)}
    assert engine_paths.program("sglang", "sglang", environ) == (str(first),)
    assert engine_paths.program("sglang", "sglang", environ | {"LLMOPT_ENGINE_SGLANG": str(tmp_path / "b")}) == (str(second),)


def test_the_path_is_searched_last(tmp_path: Path) -> None:
    found = program(tmp_path, "trtllm-serve")
    assert engine_paths.program("tensorrt-llm", "trtllm-serve", {"PATH": str(tmp_path)}) == (str(found),)
    assert engine_paths.program("tensorrt-llm", "trtllm-serve", {"PATH": ""}) is None


def test_without_a_place_this_python_is_taken() -> None:
    assert engine_paths.python("transformers", {}) == sys.executable
    assert engine_paths.variable("tensorrt-llm") == "LLMOPT_ENGINE_TENSORRT_LLM"


def test_a_place_that_is_not_there_or_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="does not exist: correct LLMOPT_ENGINE_VLLM"):
        engine_paths.program("vllm", "vllm", {"LLMOPT_ENGINE_VLLM": str(tmp_path / "none")})
    with pytest.raises(RequestError, match="has no program vllm"):
        engine_paths.program("vllm", "vllm", {"LLMOPT_ENGINE_VLLM": str(tmp_path)})
    with pytest.raises(RequestError, match="has no Python"):
        engine_paths.python("vllm", {"LLMOPT_ENGINE_VLLM": str(tmp_path)})


def test_a_damaged_settings_file_is_named(tmp_path: Path) -> None:
    settings = tmp_path / "config.toml"
    settings.write_text("[engines\n")
    with pytest.raises(RequestError, match=r"config\.toml cannot be read"):
        engine_paths.configured("vllm", {"LLMOPT_CONFIG": str(settings)})
