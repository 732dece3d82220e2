"""Fast products and factors are the plain ones."""

import pytest
import torch

from core.numerics.products import product_nt, upper_factor_


@pytest.mark.parametrize(("rows", "inner", "columns"), [(3, 5, 4), (300, 200, 128), (256, 512, 256)])
def test_products_equal_those_of_matmul(rows: int, inner: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    left, right = torch.randn(rows, inner + 7, generator=generator)[:, :inner], torch.randn(inner, columns, generator=generator).t()
    expected = (left.double() @ right.double().t()).float()
    torch.testing.assert_close(product_nt(left, right), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1, 5, 128, 129, 300, 700])
def test_the_factor_times_its_transpose_is_the_matrix(size: int) -> None:
    inputs = torch.randn(2 * size, size, generator=torch.Generator().manual_seed(size))
    matrix = inputs.t() @ inputs / size + 0.1 * torch.eye(size)
    factor = matrix.clone()
    assert upper_factor_(factor)
    upper = factor.triu()
    torch.testing.assert_close(upper @ upper.t(), matrix, rtol=1e-4, atol=1e-4)
    reversed_cholesky = torch.linalg.cholesky(matrix.double().flip(0, 1)).flip(0, 1).float()
    torch.testing.assert_close(upper, reversed_cholesky, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("place", [0, 150, 299])
def test_a_matrix_that_is_not_positive_definite_is_told(place: int) -> None:
    matrix = torch.eye(300)
    matrix[place, place] = -1
    assert not upper_factor_(matrix)
    matrix[place, place] = float("nan")
    assert not upper_factor_(matrix)
