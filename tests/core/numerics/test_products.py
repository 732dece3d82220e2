"""Fast products and factors are the plain ones."""

import pytest
import torch

from core.numerics.products import add_gram_, linear, mirror_lower_, product_nt, upper_factor_


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


@pytest.mark.parametrize("shape", [(3, 5), (2, 300, 256)])
@pytest.mark.parametrize("biased", [True, False])
def test_a_linear_is_that_of_torch(shape: tuple[int, ...], biased: bool) -> None:
    generator = torch.Generator().manual_seed(len(shape))
    inputs, weight = torch.randn(shape, generator=generator), torch.randn(128, shape[-1], generator=generator)
    bias = torch.randn(128, generator=generator) if biased else None
    torch.testing.assert_close(linear(inputs, weight, bias), torch.nn.functional.linear(inputs, weight, bias), rtol=1e-4, atol=1e-4)


def test_a_linear_can_be_differentiated() -> None:
    inputs, weight = torch.randn(300, 256), torch.randn(128, 256, requires_grad=True)
    linear(inputs, weight).sum().backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, inputs.sum(dim=0).expand(128, -1), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("size", [5, 256, 300, 700])
def test_sums_of_outer_products_take_half_the_work(size: int) -> None:
    rows = torch.randn(90, size, generator=torch.Generator().manual_seed(size))
    total = torch.zeros(size, size)
    for part in rows.split(40):
        add_gram_(total, part)
    mirror_lower_(total)
    expected = (rows.double().t() @ rows.double()).float()
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(total, total.t())


def test_sums_of_outer_products_of_16_bit_rows_lose_nothing() -> None:
    rows = torch.randn(90, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    total = torch.zeros(64, 64)
    add_gram_(total, rows)
    mirror_lower_(total)
    torch.testing.assert_close(total, (rows.double().t() @ rows.double()).float(), rtol=1e-5, atol=1e-5)
