"""NVIDIA's management library behind one tolerant question: an answer, or None when the driver refuses.

No other module calls pynvml. A refusal that means more than "not available" (the GPU is gone, the
driver was replaced) is kept as a problem, in words.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from core.sanitize import clean

_NOT_AVAILABLE = frozenset({0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF})
_FIELD_TYPES = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}
"""NVML_VALUE_TYPE_* to the member of the value union."""

_LOST = {
    "NVML_ERROR_GPU_IS_LOST": "the GPU has fallen off the bus: look for Xid errors in dmesg, then reset it or reboot",
    "NVML_ERROR_RESET_REQUIRED": "the GPU needs a reset before it can be used: end its processes and run nvidia-smi --gpu-reset, or reboot",
    "NVML_ERROR_GPU_NOT_FOUND": "the GPU is no longer there: look for Xid errors in dmesg, or at its slot and power",
}
_FALLEN = {
    "NVML_ERROR_LIBRARY_NOT_FOUND": "no NVIDIA driver library (libnvidia-ml.so.1) on this machine",
    "NVML_ERROR_DRIVER_NOT_LOADED": "the NVIDIA driver is installed but not loaded: run modprobe nvidia, or reboot",
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH": "the NVIDIA driver was updated while the old one is still loaded: reboot, or unload and load its modules",
    "NVML_ERROR_NO_PERMISSION": "this user may not open the NVIDIA devices: ask for access to /dev/nvidia*, or start the container with its GPUs",
    "NVML_ERROR_UNINITIALIZED": "the NVIDIA driver was unloaded",
    "NVML_ERROR_GPU_NOT_FOUND": "the NVIDIA driver finds no GPU",
    "NVML_ERROR_INSUFFICIENT_POWER": "a GPU's external power cable is not connected",
    "NVML_ERROR_IRQ_ISSUE": "the kernel cannot receive a GPU's interrupts: look in dmesg",
}


class FieldValue(NamedTuple):
    """What the driver answered for a field."""

    value: float
    t: float
    """When the driver took it, seconds since the epoch; 0 when it does not say."""


class Nvml:
    """A session with the library.

    Args:
        library: the module to speak to, pynvml or one with its names; default: pynvml.
    """

    def __init__(self, library: Any = None) -> None:
        self._library = library
        self.problem: str | None = None
        """Why there is no session, in a sentence."""

    def open(self) -> bool:
        """Begin the session; on failure `problem` says why."""
        if self._library is None:
            try:
                import pynvml
            except ImportError:
                self.problem = "GPU figures need the package nvidia-ml-py: install it with pip"
                return False
            self._library = pynvml
        self.problem = None
        try:
            self._library.nvmlInit()
        except Exception as error:
            self.problem = self.words(error, _FALLEN) or f"the NVIDIA driver cannot be queried: {clean(str(error), limit=200)}"
        return self.problem is None

    def close(self) -> None:
        """End the session."""
        self.query("nvmlShutdown")

    def constant(self, name: str) -> int:
        """A constant of the library."""
        return int(getattr(self._library, name))

    def query(self, name: str, *arguments: Any, lost: list[str] | None = None, refused: list[str] | None = None) -> Any:
        """Call the library's function `name`; None when it refuses, does not know the function or has no value.

        Args:
            name: the function.
            arguments: what it is given.
            lost: collects the sentence when the refusal means that the GPU is gone.
            refused: collects the refusal's name, for example NVML_ERROR_NOT_SUPPORTED.
        """
        function = getattr(self._library, name, None)
        if function is None:
            return None
        try:
            value = function(*arguments)
        except Exception as error:  # NVMLError, its mismatch twin, and whatever ctypes makes of a broken string
            self._note(error, lost, refused)
            return None
        return None if isinstance(value, int) and value in _NOT_AVAILABLE else value

    def fields(self, handle: Any, ids: Sequence[int | tuple[int, int]], lost: list[str] | None = None) -> list[FieldValue | None]:
        """Values of NVML_FI_* fields (or of (field, link) pairs) in one call."""
        values = self.query("nvmlDeviceGetFieldValues", handle, list(ids), lost=lost)
        if values is None:
            return [None] * len(ids)
        return [_field(value) for value in values]

    def words(self, error: Exception, table: dict[str, str]) -> str | None:
        """The sentence of an error in a table; None for another error."""
        code = getattr(error, "value", None)
        return next((sentence for name, sentence in table.items() if getattr(self._library, name, object()) == code), None)

    def _note(self, error: Exception, lost: list[str] | None, refused: list[str] | None) -> None:
        if lost is not None and (sentence := self.words(error, _LOST)):
            lost.append(sentence)
        fallen = self.words(error, {name: _FALLEN[name] for name in ("NVML_ERROR_UNINITIALIZED", "NVML_ERROR_DRIVER_NOT_LOADED")})
        if fallen is not None:
            self.problem = fallen
        if refused is not None:
            code = getattr(error, "value", None)
            names = (name for name in ("NVML_ERROR_NOT_SUPPORTED", "NVML_ERROR_NO_PERMISSION") if getattr(self._library, name, object()) == code)
            refused.extend(names)


class Device:
    """One GPU's handle: asks, remembers what changes slowly, and stops asking once the GPU is gone."""

    def __init__(self, nvml: Nvml, handle: Any) -> None:
        self.nvml = nvml
        self.handle = handle
        self._lost: list[str] = []
        self._slow: dict[tuple[Any, ...], tuple[float, Any]] = {}

    @property
    def problem(self) -> str | None:
        """What is wrong with the GPU, met since `begin`."""
        return self._lost[0] if self._lost else None

    def begin(self) -> None:
        """A new round of questions: a GPU that was lost may be back."""
        self._lost.clear()

    def ask(self, name: str, *arguments: Any, refused: list[str] | None = None) -> Any:
        """Ask about this GPU; None when refused."""
        return None if self._lost else self.nvml.query(name, self.handle, *arguments, lost=self._lost, refused=refused)

    def slowly(self, period: float, name: str, *arguments: Any) -> Any:
        """The answer of at most `period` seconds ago; when the GPU is lost, the last answer there was."""
        key = (name, *arguments)
        due, value = self._slow.get(key, (0.0, None))
        now = time.monotonic()
        if now < due or self._lost:
            return value
        answer = self.ask(name, *arguments)
        value = value if self._lost else answer
        self._slow[key] = (now + period, value)
        return value

    def slowly_field(self, period: float, field: int) -> float | None:
        """A field's value of at most `period` seconds ago."""
        key = ("field", field)
        due, value = self._slow.get(key, (0.0, None))
        now = time.monotonic()
        if now >= due and not self._lost:
            answer = self.fields([field])[0]
            value = answer.value if answer is not None else None
            self._slow[key] = (now + period, value)
        return value  # type: ignore[no-any-return]

    def fields(self, ids: Sequence[int | tuple[int, int]]) -> list[FieldValue | None]:
        """Field values in one call."""
        return [None] * len(ids) if self._lost else self.nvml.fields(self.handle, ids, self._lost)


def _field(value: Any) -> FieldValue | None:
    if value.nvmlReturn != 0 or value.valueType not in _FIELD_TYPES:
        return None
    number = getattr(value.value, _FIELD_TYPES[value.valueType])
    return None if number in _NOT_AVAILABLE else FieldValue(float(number), value.timestamp / 1e6)


def unread_gpus(pci: Path = Path("/sys/bus/pci/devices")) -> Iterable[tuple[str, str]]:
    """(vendor, bus id) of every display or compute controller that the kernel sees, driver or not."""
    vendors = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
    try:
        devices = sorted(pci.iterdir())
    except OSError:
        return
    for device in devices:
        try:
            kind = (device / "class").read_text(encoding="ascii").strip()
            vendor = (device / "vendor").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if kind.startswith(("0x03", "0x12")) and vendor in vendors:
            yield vendors[vendor], device.name
