"""What runs inside llama.cpp's process: a program of its own, started by path, so that a crash of native code ends nothing else.

Needs llama-cpp-python and numpy only, and nothing of this project, so that it may run in another environment.

    python llama_child.py COMMAND MODEL THREADS [ARGUMENT ...]     request on stdin, answer as one JSON document on stdout, llama.cpp's log on stderr
"""

from __future__ import annotations

import ctypes
import json
import struct
import sys
from collections.abc import Callable
from typing import Any

import llama_cpp
import numpy as np

_PLAIN_CACHE = 0  # ggml's number of F32


def quantize(model: str, threads: int, out: str, file_type: str) -> dict[str, object]:
    """Quantize a file; stdin may hold an importance matrix in llama.cpp's older format."""
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.nthread, parameters.ftype = threads, int(file_type)
    entries = _importance(sys.stdin.buffer.read())
    array = (llama_cpp.llama_model_imatrix_data * (len(entries) + 1))()
    for slot, (name, values) in zip(array, entries, strict=False):
        slot.name, slot.size, slot.data = name, len(values), values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    if entries:
        parameters.imatrix = ctypes.cast(array, ctypes.POINTER(llama_cpp.llama_model_imatrix_data))
    return {"code": int(llama_cpp.llama_model_quantize(model.encode(), out.encode(), ctypes.byref(parameters)))}


def tokenize(model: str, _threads: int) -> dict[str, object]:
    """Token ids of texts; special tokens in a text are recognized."""
    request = _request()
    llama = llama_cpp.Llama(model, vocab_only=True, verbose=True)
    return {"tokens": [llama.tokenize(text.encode(), add_bos=request["bos"], special=True) for text in request["texts"]]}


def logits(model: str, threads: int) -> dict[str, object]:
    """Logits of one window of tokens."""
    tokens = _request()["tokens"]
    llama = _open(model, threads, len(tokens))
    llama.eval(tokens)
    return {"logits": llama.scores[: len(tokens)].tolist()}


def stream(model: str, threads: int) -> None:
    """Logits of windows of tokens, as they come: the vocabulary's size in eight bytes, then float32 [T, V] of each window."""
    windows = _request()["windows"]
    llama = _open(model, threads, len(windows[0]))
    sys.stdout.buffer.write(struct.pack("<q", llama.n_vocab()))
    for window in windows:
        llama.reset()
        llama.eval(window)
        sys.stdout.buffer.write(np.ascontiguousarray(llama.scores[: len(window)], dtype="<f4").data)
        sys.stdout.buffer.flush()


def score(model: str, threads: int) -> dict[str, object]:
    """Negative log-likelihood in nats of the tokens of each window from a position on, each given the tokens before it."""
    request = _request()
    windows, first = request["windows"], request["first"]
    llama = _open(model, threads, len(windows[0]))
    found = []
    for number, window in enumerate(windows):
        llama.reset()
        llama.eval(window)
        found.append(_nll(llama.scores[first - 1 : len(window) - 1].astype(np.float64), np.array(window[first:])))
        sys.stderr.write(f"window {number + 1}\n")
        sys.stderr.flush()
    return {"nll": found}


def generate(model: str, threads: int) -> dict[str, object]:
    """The most likely next token, again and again."""
    request = _request()
    tokens: list[int] = list(request["tokens"])
    llama = _open(model, threads, len(tokens) + request["count"])
    fresh = tokens
    for _ in range(request["count"]):
        llama.eval(fresh)
        fresh = [int(np.argmax(llama.scores[llama.n_tokens - 1]))]
        tokens += fresh
    return {"tokens": tokens}


def _open(model: str, threads: int, context: int) -> Any:
    return llama_cpp.Llama(
        model,
        n_ctx=context,
        n_batch=context,
        n_ubatch=context,
        n_threads=threads,
        n_threads_batch=threads,
        logits_all=True,
        type_k=_PLAIN_CACHE,
        type_v=_PLAIN_CACHE,
        swa_full=True,
        verbose=True,
    )


def _nll(rows: Any, targets: Any) -> list[float]:
    largest = rows.max(axis=1)
    chosen = rows[np.arange(len(targets)), targets]
    found: list[float] = (np.log(np.exp(rows - largest[:, None]).sum(axis=1)) + largest - chosen).tolist()
    return found


def _importance(data: bytes) -> list[tuple[bytes, Any]]:
    """(tensor name, float32 values): number of entries, then each with its name, calls, and sums over calls."""
    if not data:
        return []
    at, found = 4, []
    for _ in range(struct.unpack_from("<i", data)[0]):
        length = struct.unpack_from("<i", data, at)[0]
        name = data[at + 4 : at + 4 + length]
        calls, count = struct.unpack_from("<ii", data, at + 4 + length)
        at += 12 + length
        found.append((name, np.frombuffer(data, np.float32, count, at) / np.float32(max(calls, 1))))
        at += 4 * count
    return found


def _request() -> Any:
    return json.loads(sys.stdin.buffer.read())


def main(command: str, model: str, threads: str, *arguments: str) -> int:
    """Answer one request."""
    llama_cpp.llama_log_set(llama_cpp.llama_log_callback(), ctypes.c_void_p(0))
    if command == "stream":
        stream(model, int(threads))
        return 0
    commands: dict[str, Callable[..., dict[str, object]]] = {
        "quantize": quantize,
        "tokenize": tokenize,
        "logits": logits,
        "score": score,
        "generate": generate,
    }
    json.dump(commands[command](model, int(threads), *arguments), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
