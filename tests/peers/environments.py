"""Peers: engines and quantizers that live in environments of their own, each found by an environment variable that names its Python.

    LLMOPT_PEER_TRANSFORMERS    transformers with compressed-tensors (default: the interpreter that runs the tests)
    LLMOPT_PEER_GPTQMODEL       gptqmodel and optimum
    LLMOPT_PEER_BITSANDBYTES    bitsandbytes and accelerate
    LLMOPT_PEER_AQLM            aqlm[cpu] and accelerate
    LLMOPT_PEER_VLLM            vLLM, for a CPU where there is no GPU
    LLMOPT_PEER_LLMCOMPRESSOR   llm-compressor
    LLMOPT_PEER_AUTOROUND       auto-round
    LLMOPT_PEER_OPENAI          OpenAI's client

A peer that is not configured is not run, and whoever asks is told so: nothing is assumed about it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

SCRIPTS = Path(__file__).parent / "scripts"
TIMEOUT = 1800


class PeerFailed(Exception):
    """A peer ended with an error; the message is the last lines that it said."""


def variable(peer: str) -> str:
    """Name of the environment variable of a peer."""
    return f"LLMOPT_PEER_{peer.upper()}"


def interpreter(peer: str) -> str | None:
    """The peer's Python, None where it is not configured."""
    return os.environ.get(variable(peer)) or (sys.executable if peer == "transformers" else None)


def run(peer: str, script: str, *arguments: str) -> None:
    """Run `scripts/<script>.py` by the peer's Python, away from this project's folder.

    Raises:
        PeerFailed: it ended with an error, or did not end.
    """
    python = interpreter(peer)
    if python is None:
        raise PeerFailed(f"{variable(peer)} names no Python")
    settings = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    settings.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as away:
        try:
            done = subprocess.run(
                [python, str(SCRIPTS / f"{script}.py"), *arguments],
                cwd=away,
                env=settings,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise PeerFailed(f"{peer} did not end within {TIMEOUT} s") from error
    if done.returncode:
        last = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-12:]
        raise PeerFailed(f"{peer} ended with {done.returncode}: " + "\n".join(last))


def logits(peer: str, folder: Path, windows: torch.Tensor, *, dtype: str = "float32", script: str | None = None) -> torch.Tensor:
    """Log-probabilities [N, T, V] float32 that a peer computes for windows of tokens [N, T] with a checkpoint."""
    with tempfile.TemporaryDirectory() as scratch:
        tokens, out = Path(scratch) / "tokens.json", Path(scratch) / "out.npy"
        tokens.write_text(json.dumps(windows.tolist()))
        run(peer, script or SCRIPT_OF.get(peer, "transformers_logits"), str(folder), str(tokens), str(out), dtype)
        found: npt.NDArray[np.float32] = np.load(out)
    return torch.log_softmax(torch.from_numpy(found), dim=-1)


def make(peer: str, folder: Path, out: Path, windows: torch.Tensor, settings: dict[str, Any]) -> None:
    """Have a peer quantize a model with calibration windows [N, T]."""
    with tempfile.TemporaryDirectory() as scratch:
        tokens = Path(scratch) / "tokens.json"
        tokens.write_text(json.dumps(windows.tolist()))
        run(peer, f"{peer}_make", str(folder), str(tokens), str(out), json.dumps(settings))


SCRIPT_OF = {"vllm": "vllm_logits"}


def missing(peers: Sequence[str]) -> list[str]:
    """Which of the peers are not configured."""
    return [peer for peer in peers if interpreter(peer) is None]
