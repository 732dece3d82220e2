"""How many codebooks of which size a model can afford. No torch.

AQLM stores each code in whole bytes, and each linear carries its own codebooks. On wide matrices the codebooks weigh nothing and
two of 256 vectors of 8 weights are best at 2 bits; on narrow ones the codebooks themselves would cost as much as the codes.
So the shape is chosen by what all linears of a model take together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

_VALUE_BITS = 16
_SCALE_GROUP = 128
"""The budget is that of an integer grid with one 16-bit scale for so many weights."""
_CODEBOOK_BITS = (8, 7, 6, 5, 4)
_TILES = ((1, 8), (1, 4), (1, 2), (2, 4), (2, 2), (4, 2), (4, 1), (2, 1))
"""(rows, columns) of a tile, in order of preference: AQLM's kernels take tiles of one row."""
_MAX_CODEBOOKS = 8


@dataclass(frozen=True)
class CodebookShape:
    """What an AQLM checkpoint states once for all its linears."""

    codebooks: int
    """Codebooks K whose vectors are added."""
    codebook_bits: int
    """log2 of the vectors in a codebook."""
    out_group: int
    """Rows of a tile."""
    in_group: int
    """Columns of a tile."""

    @property
    def information(self) -> float:
        """Bits of code a weight, as far as the codebooks can use them."""
        return self.codebooks * self.codebook_bits / (self.out_group * self.in_group)

    def fits(self, rows: int, columns: int) -> bool:
        """Whether tiles divide a matrix."""
        return rows % self.out_group == 0 and columns % self.in_group == 0

    def stored_bytes(self, rows: int, columns: int) -> int:
        """Bytes on disk of one linear: codes, codebooks, scales, both of the latter in 16 bits."""
        codes = rows // self.out_group * (columns // self.in_group) * self.codebooks * (1 if self.codebook_bits <= 8 else 2)
        vectors = self.codebooks * (1 << self.codebook_bits) * self.out_group * self.in_group
        return codes + (vectors + rows // self.out_group) * _VALUE_BITS // 8


def affordable(matrices: Sequence[tuple[int, int]], bits: float) -> CodebookShape:
    """The shape that carries most bits a weight and still takes no more than an integer grid of `bits` with groups of 128 would.

    Args:
        matrices: (rows, columns) of every linear that is quantized.
        bits: of the integer grid to stay level with.

    Returns:
        The best shape; the smallest one when the linears are too small for any to be affordable.
    """
    weights = sum(rows * columns for rows, columns in matrices)
    budget = weights * (bits + _VALUE_BITS / _SCALE_GROUP) / 8
    sizes = [(shape, sum(shape.stored_bytes(*matrix) for matrix in matrices)) for shape in _candidates(matrices)]
    within = [shape for shape, size in sizes if size <= budget]
    if within:
        return max(within, key=_merit)
    return min(sizes, key=lambda item: (item[1], -_merit(item[0])[0]))[0]


def _candidates(matrices: Iterable[tuple[int, int]]) -> list[CodebookShape]:
    shapes = [CodebookShape(count, bits, *tile) for tile, bits, count in product((*_TILES, (1, 1)), _CODEBOOK_BITS, range(1, _MAX_CODEBOOKS + 1))]
    known = list(matrices)
    return [shape for shape in shapes if all(shape.fits(*matrix) for matrix in known)]


def _merit(shape: CodebookShape) -> tuple[float, int, int, int]:
    """Most information first, then longer vectors, then tiles that kernels take, then fewer codebooks."""
    return shape.information, shape.out_group * shape.in_group, -shape.out_group, -shape.codebooks
