"""What quantization-aware training holds beyond any other training."""

from __future__ import annotations

EXTRA_BYTES = 4 + 2
"""Bytes per trained weight: what it is rounded to, and the original."""
