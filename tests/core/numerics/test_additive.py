"""Decoding of additive weights against a loop over tiles."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.numerics.additive import AdditiveTensor


def by_hand(tensor: AdditiveTensor) -> torch.Tensor:
    """Tile by tile: the sum of the vectors that the codes name, times the scale of its rows."""
    _, _, out_group, in_group = tensor.codebooks.shape
    weight = torch.zeros(tensor.shape, dtype=torch.float64)
    for row in range(tensor.codes.shape[0]):
        for column in range(tensor.codes.shape[1]):
            tile = sum(book[int(code)].double() for book, code in zip(tensor.codebooks, tensor.codes[row, column], strict=True))
            tile = tile * tensor.scales[row, 0, 0, 0].double()
            weight[row * out_group : (row + 1) * out_group, column * in_group : (column + 1) * in_group] = tile
    return weight


def made(rows: int, columns: int, count: int, bits: int, tile: tuple[int, int], seed: int) -> AdditiveTensor:
    generator = torch.Generator().manual_seed(seed)
    return AdditiveTensor(
        codes=torch.randint(0, 1 << bits, (rows, columns, count), generator=generator, dtype=torch.int32),
        codebooks=torch.randn(count, 1 << bits, *tile, generator=generator).bfloat16(),
        scales=torch.rand(rows, 1, 1, 1, generator=generator).bfloat16() + 0.5,
    )


@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    count=st.integers(1, 3),
    bits=st.integers(1, 9),
    tile=st.tuples(st.integers(1, 3), st.integers(1, 8)),
    seed=st.integers(0, 2**31),
)
def test_decodes_like_a_loop_over_tiles(rows: int, columns: int, count: int, bits: int, tile: tuple[int, int], seed: int) -> None:
    tensor = made(rows, columns, count, bits, tile, seed)
    assert tensor.shape == (rows * tile[0], columns * tile[1])
    assert tensor.codebook_bits == bits
    torch.testing.assert_close(tensor.dequantize(), by_hand(tensor).float(), rtol=1e-5, atol=1e-5)
    assert tensor.dequantize(torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize(("bits", "a_code"), [(7, 1), (8, 1), (9, 2), (12, 2)])
def test_counts_every_stored_byte(bits: int, a_code: int) -> None:
    tensor = made(4, 6, 2, bits, (2, 4), 0)
    assert tensor.nbytes == 4 * 6 * 2 * a_code + 2 * 2**bits * 8 * 2 + 4 * 2
