"""How many codebooks of which size a model can afford.

AQLM stores each code in whole bytes, and each linear carries its own codebooks. On wide matrices the codebooks weigh nothing and
two of 256 vectors of 8 weights are best at 2 bits; on narrow ones the codebooks themselves would cost as much as the codes.
So the shape is chosen by what all linears of a model take together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd

from core.errors import RequestError
from core.models.card import ModelCard
from core.quantize.plan.request import Request

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

    @property
    def has_kernels(self) -> bool:
        """Whether the package aqlm has a kernel for it on CPUs and GPUs alike."""
        return self.out_group == 1 and self.codebook_bits == 8

    @property
    def words(self) -> str:
        """For people, for example `2 codebooks of 256 vectors for tiles of 1 x 8 weights`."""
        books = "1 codebook" if self.codebooks == 1 else f"{self.codebooks} codebooks"
        return f"{books} of {1 << self.codebook_bits} vectors for tiles of {self.out_group} x {self.in_group} weights"

    def fits(self, rows: int, columns: int) -> bool:
        """Whether tiles divide a matrix."""
        return rows % self.out_group == 0 and columns % self.in_group == 0

    def stored_bytes(self, rows: int, columns: int) -> int:
        """Bytes on disk of one linear: codes, codebooks, scales, both of the latter in 16 bits."""
        codes = rows // self.out_group * (columns // self.in_group) * self.codebooks * (1 if self.codebook_bits <= 8 else 2)
        vectors = self.codebooks * (1 << self.codebook_bits) * self.out_group * self.in_group
        return codes + (vectors + rows // self.out_group) * _VALUE_BITS // 8


def affordable(matrices: Sequence[tuple[int, int]], bits: float) -> CodebookShape:
    """The shape that carries most bits per weight and still takes no more than an integer grid of `bits` with groups of 128 would.

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


def settle(request: Request, card: ModelCard) -> CodebookShape:
    """The shape that a request states; what was not given is chosen by the model's linears.

    Raises:
        RequestError: tiles of the size that was given do not divide a linear.
    """
    given = (request.codebooks, request.codebook_bits, request.codebook_rows, request.codebook_vector)
    matrices = [(linear.out_features, linear.in_features) for linear in card.linears for _ in range(linear.count)]
    shape = affordable(matrices, request.bits) if given == (None,) * 4 else shape_of(request)
    for linear in card.linears:
        if not shape.fits(linear.out_features, linear.in_features):
            raise RequestError(
                f"tiles of {shape.out_group} x {shape.in_group} weights do not divide {linear.name_suffix} ({linear.out_features} x "
                f"{linear.in_features}): choose codebook-rows and codebook-vector that divide {gcd(*(rows for rows, _ in matrices))} and "
                f"{gcd(*(columns for _, columns in matrices))}"
            )
    return shape


def shape_of(request: Request) -> CodebookShape:
    """What was given, the rest by custom: codes of 8 bits, tiles of one row and 8 columns, as many codebooks as come nearest to the bits."""
    bits, rows, columns = request.codebook_bits or 8, request.codebook_rows or 1, request.codebook_vector or 8
    return CodebookShape(request.codebooks or max(round(request.bits * rows * columns / bits), 1), bits, rows, columns)


def _candidates(matrices: Iterable[tuple[int, int]]) -> list[CodebookShape]:
    shapes = [CodebookShape(count, bits, *tile) for tile, bits, count in product((*_TILES, (1, 1)), _CODEBOOK_BITS, range(1, _MAX_CODEBOOKS + 1))]
    known = list(matrices)
    return [shape for shape in shapes if all(shape.fits(*matrix) for matrix in known)]


def _merit(shape: CodebookShape) -> tuple[float, int, int, int]:
    """Most information first, then longer vectors, then tiles that kernels take, then fewer codebooks."""
    return shape.information, shape.out_group * shape.in_group, -shape.out_group, -shape.codebooks
