"""Hardware figures as a user reads them. What the driver refuses is n/a, never zero."""

from __future__ import annotations

from core.hardware.snapshot import GIBIBYTE
from core.measure import units
from tui.widgets.live import Tone

NA = "n/a"


def gib(n_bytes: float | None) -> str:
    """Binary gigabytes without the unit: `70.1`."""
    return NA if n_bytes is None else f"{n_bytes / GIBIBYTE:.1f}"


def size(n_bytes: float | None) -> str:
    """Bytes in binary units."""
    return NA if n_bytes is None else units.size(n_bytes)


def pair(part: float | None, whole: float | None) -> str:
    """Part and whole in the unit of the whole: `1.4 of 2.0 TiB`."""
    if whole is None:
        return NA
    text, unit = size(whole).split(" ")
    scale = 1024 ** ("B", "KiB", "MiB", "GiB", "TiB").index(unit)
    return f"{NA if part is None else f'{part / scale:.1f}'} of {text} {unit}"


def rate(per_second: float | None) -> str:
    """Bytes a second in decimal units, as links are sold: `4.2 GB/s`."""
    if per_second is None:
        return NA
    value = float(per_second)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}/s"
        value /= 1000
    return f"{value:.1f} GB/s"


def percent(share: float | None) -> str:
    """`96%`."""
    return NA if share is None else f"{share:.0f}%"


def number(value: float | None, unit: str = "") -> str:
    """A whole number with its unit."""
    return NA if value is None else f"{value:.0f}{unit}"


def count(value: int | None) -> str:
    """A count with its thousands apart."""
    return NA if value is None else f"{value:,}"


def fullness(share: float | None, warn: float = 85, bad: float = 95) -> Tone:
    """How a share that should not reach 100 is to be shown."""
    if share is None:
        return "muted"
    return "bad" if share >= bad else "warn" if share >= warn else ""


def known(text: str) -> Tone:
    """Muted for what is not available."""
    return "muted" if text == NA else ""


def short_name(name: str | None) -> str:
    """A GPU's name without what every GPU of its maker is called."""
    if name is None:
        return "GPU"
    for prefix in ("NVIDIA ", "GeForce ", "Tesla "):
        name = name.removeprefix(prefix)
    return name
