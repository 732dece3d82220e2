from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.runs import registry
from tests.conftest import TINY_LLAMA
from tests.core.runs import tick
from tests.tui.cli import ticking
from tui.cli import app, experiment, main

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of zeros whose files are right, written without torch."""
    hidden, inner, heads, kv = 64, 128, 64, 32
    shapes = {"model.embed_tokens.weight": [320, hidden], "model.norm.weight": [hidden], "lm_head.weight": [320, hidden]}
    for layer in range(2):
        rows = {"q_proj": heads, "k_proj": kv, "v_proj": kv, "o_proj": hidden}
        shapes |= {f"model.layers.{layer}.self_attn.{name}.weight": [out, hidden] for name, out in rows.items()}
        shapes |= {f"model.layers.{layer}.mlp.{name}.weight": [inner, hidden] for name in ("gate_proj", "up_proj")}
        shapes |= {f"model.layers.{layer}.mlp.down_proj.weight": [hidden, inner]}
        shapes |= {f"model.layers.{layer}.{name}.weight": [hidden] for name in ("input_layernorm", "post_attention_layernorm")}
    header, place = {}, 0
    for name, shape in shapes.items():
        size = 2
        for length in shape:
            size *= length
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [place, place + size]}
        place += size
    folder = tmp_path_factory.mktemp("models") / "zeros"
    folder.mkdir()
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(place))
    config = TINY_LLAMA | {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "tie_word_embeddings": False}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(autouse=True)
def _ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.CAPABILITIES, "tick", tick.CAPABILITY)
    monkeypatch.setattr(app, "COMMANDS", (*app.COMMANDS, ticking.COMMAND))
    monkeypatch.setattr(experiment, "launcher", tick.launcher)


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """stdout as exactly one JSON document that begins as every document does."""
        document = json.loads(self.out)
        assert list(document)[:2] == ["schema", "llmopt_version"]
        return document


Llmopt = Callable[..., Answer]


@pytest.fixture
def llmopt(capfd: pytest.CaptureFixture[str]) -> Llmopt:
    """The command line in this process."""

    def run(*arguments: str) -> Answer:
        capfd.readouterr()
        code = main(list(arguments))
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return run


def process(*arguments: str, **options: object) -> subprocess.Popen[str]:
    """The command line in a process of its own, with the command `tick`. Signals that a shell or nohup keeps from the tests reach it."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT, "preexec_fn": _listen} | options
    return subprocess.Popen([sys.executable, "-m", "tests.tui.cli.ticking", *arguments], **streams)  # type: ignore[call-overload]


def _listen() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def until(condition: Callable[[], object], within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
