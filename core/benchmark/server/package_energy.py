"""Energy of the processors of this machine, where the system counts it (Intel's and AMD's running average power limit)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FOLDER: Final = Path("/sys/class/powercap")
_JOULES: Final = 1e-6


class PackageMeter:
    """Sums what the counters of all processor packages gain between looks; each look must come before a counter has turned over twice.

    The counters are those of the whole machine: other programs count too. Most systems let only the administrator read them.

    Args:
        folder: of the kernel's power-capping zones.
    """

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._zones = _packages(folder)
        self._before: list[int] | None = None
        self._joules = 0.0

    def look(self) -> None:
        """Read the counters now; one that cannot be read ends the counting."""
        now = self._read()
        if now is None or self._before is None:
            self._before = None
            return
        for zone, (first, last) in zip(self._zones, zip(self._before, now, strict=True), strict=True):
            gained = last - first if last >= first else last - first + _number(zone / "max_energy_range_uj", 0)
            self._joules += max(gained, 0) * _JOULES
        self._before = now

    def mark(self) -> None:
        """The energy counts from here."""
        self._joules, self._before = 0.0, self._read()

    def joules(self) -> float | None:
        """Since `mark`, by the latest look; None where it is not known."""
        return None if self._before is None else self._joules

    def _read(self) -> list[int] | None:
        found = [_number(zone / "energy_uj", -1) for zone in self._zones]
        return found if found and min(found) >= 0 else None


def _packages(folder: Path) -> list[Path]:
    """Zones of whole packages: cores and memory are counted within them, or apart in ways that differ between processors."""
    try:
        zones = sorted(zone for zone in folder.iterdir() if (zone / "energy_uj").exists())
    except OSError:
        return []
    return [zone for zone in zones if _name(zone).startswith("package")]


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(file: Path, otherwise: int) -> int:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return otherwise
