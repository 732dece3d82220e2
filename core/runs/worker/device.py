"""Where the arithmetic of a run happens."""

from __future__ import annotations

from pathlib import Path

from core.errors import RequestError

_DRIVERS = ("/proc/driver/nvidia/version", "/dev/kfd", "/dev/nvidiactl", "/dev/dxg")


def resolve_device(asked: str) -> str:
    """`cpu` or `cuda:N` for auto, cpu, cuda or cuda:N. Imports torch unless the answer is plain; only in a worker.

    Raises:
        RequestError: a CUDA device was asked for that is not there.
    """
    if resolves_to_cpu(asked):
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return "cuda:0" if count else "cpu"
    index = int(asked.partition(":")[2] or 0)
    if index >= count:
        has = f"{count} CUDA device(s), numbered from 0" if count else "no CUDA device usable by torch"
        raise RequestError(f"device = {asked} does not exist: this machine has {has}; use --device auto or cpu")
    return f"cuda:{index}"


def resolves_to_cpu(asked: str) -> bool:
    """Whether the answer is `cpu` without asking torch: it was asked for, or there is no driver of a GPU."""
    return asked == "cpu" or (asked == "auto" and not any(Path(path).exists() for path in _DRIVERS))
