import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.serving.models.product import Product

pytestmark = pytest.mark.usefixtures("one_thread")


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# A single column is none of a model's.
WIDTHS = st.one_of(st.integers(2, 80), st.sampled_from([96, 128, 192, 256, 384, 512, 768, 1000]))


@settings(max_examples=60, deadline=None)
@given(width=WIDTHS, out=WIDTHS, num_rows=st.integers(1, 70), has_bias=st.booleans(), data=st.data())
def test_a_row_has_the_same_bits_whatever_rows_there_are(
    width: int, out: int, num_rows: int, has_bias: bool, data: st.DataObject
) -> None:
    x, total = random(num_rows, width, seed=1), random(num_rows, out, seed=2)
    product = Product.of(random(out, width, seed=3), random(out, seed=4) if has_bias else None)
    whole, added = product(x), product.add(total.clone(), x)
    rows = data.draw(st.lists(st.integers(0, num_rows - 1), min_size=1, max_size=num_rows))
    assert torch.equal(product(x[rows]), whole[rows])
    assert torch.equal(product.add(total[rows], x[rows]), added[rows])


@pytest.mark.parametrize("width", [512, 1000, 2048])
def test_a_row_alone_has_its_bits_where_wide_products_are_summed_up_in_parts(width: int) -> None:
    x, total, product = random(9, width, seed=1), random(9, 64, seed=2), Product.of(random(64, width, seed=3))
    whole = product.add(total.clone(), x)
    for row in range(9):
        assert torch.equal(product.add(total[row : row + 1].clone(), x[row : row + 1])[0], whole[row])


@pytest.mark.parametrize("num_rows", [1, 2, 7])
@pytest.mark.parametrize("has_bias", [True, False])
def test_the_product_is_that_of_a_linear_layer(num_rows: int, has_bias: bool) -> None:
    x, weight, bias = random(num_rows, 33, seed=1), random(21, 33, seed=2), random(21, seed=3) if has_bias else None
    product = Product.of(weight, bias)
    expected = torch.nn.functional.linear(x, weight, bias)
    torch.testing.assert_close(product(x), expected)
    total = random(num_rows, 21, seed=4)
    before = total.clone()
    assert product.add(total, x) is total
    torch.testing.assert_close(total, before + expected)
    assert torch.equal(product.in_files, weight)


@pytest.mark.gpu
@pytest.mark.parametrize("num_rows", [1, 64])
def test_a_sum_on_a_device_is_no_further_from_the_exact_one(num_rows: int) -> None:
    x, weight, total = (
        random(*shape, seed=seed).to("cuda", torch.bfloat16)
        for seed, shape in enumerate(((num_rows, 512), (256, 512), (num_rows, 256)))
    )
    product, exact = Product.of(weight), total.double() + x.double() @ weight.double().T
    twice = total + product(x)
    once = product.add(total, x)
    assert once is total
    assert (once - exact).norm() <= (twice - exact).norm()
