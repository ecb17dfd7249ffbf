"""The batch-invariant product against fp64, and row by row against itself."""

import pytest
import torch

from verilora.kernels.layers.invariant_matmul import (
    invariant_matmul,
    invariant_matmul_reference,
    launch_invariant_matmul,
)

from device_checks import assert_repeats, assert_replays, assert_same_bits, device_cases

# Of the whole product, ||out - exact|| / ||exact||: one rounding of each element, and in fp32 those of a sum in order,
# about 0.3 * 2 ** -24 * sqrt(in_dim), which is 2e-6 for the widest.
TOLERANCE = {torch.float32: 5e-6, torch.float16: 3e-4, torch.bfloat16: 3e-3}
# num_rows, in_dim, out_dim
SHAPES = [
    pytest.param((1, 64, 32), id="one row"),
    pytest.param((63, 129, 63), id="odd"),
    pytest.param((129, 65, 129), id="several wide tiles"),
    pytest.param((0, 64, 32), id="no rows"),
]
BATCHES = [1, 2, 17, 63, 64, 65, 129, 300]


def inputs(
    shape: tuple[int, int, int], dtype: torch.dtype, device: str = "cpu", seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return x, weight and bias."""
    num_rows, in_dim, out_dim = shape
    generator = torch.Generator().manual_seed(seed)
    sizes = ((num_rows, in_dim), (out_dim, in_dim), (out_dim,))
    x, weight, bias = (torch.randn(size, generator=generator).to(device, dtype) for size in sizes)
    return x, weight, bias


def check(shape: tuple[int, int, int], dtype: torch.dtype, device: str) -> None:
    x, weight, bias = inputs(shape, dtype, device)
    exact = x.double() @ weight.double().T
    # On a device the library under the reference may split its sums and round the parts.
    products = (launch_invariant_matmul,) if x.is_cuda else (invariant_matmul_reference, launch_invariant_matmul)
    for product in products:
        for found, expected in ((product(x, weight), exact), (product(x, weight, bias), exact + bias.double())):
            assert found.dtype == dtype
            assert found.shape == expected.shape
            assert (found.double() - expected).norm() <= TOLERANCE[dtype] * expected.norm()


@pytest.mark.interpreter
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_right(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    check(shape, dtype, "cpu")


@pytest.mark.interpreter
def test_rows_may_have_a_stride() -> None:
    x, weight, _ = inputs((5, 300, 40), torch.float32)
    found = launch_invariant_matmul(x[:, :129], weight[:, :129].contiguous())
    torch.testing.assert_close(found, x[:, :129] @ weight[:, :129].T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(300, 257, 511), (300, 1024, 96)])
def test_rows_do_not_depend_on_the_batch_on_a_cpu(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    x, weight, bias = inputs(shape, dtype)
    everything = invariant_matmul(x, weight, bias)
    for num_rows in BATCHES:
        assert_same_bits([invariant_matmul(x[-num_rows:], weight, bias)], [everything[-num_rows:]])


def test_other_shapes_are_refused() -> None:
    x, weight, bias = inputs((3, 64, 32), torch.float32)
    with pytest.raises(ValueError, match="weight, got"):
        launch_invariant_matmul(x, weight.half())
    with pytest.raises(ValueError, match="x, got"):
        launch_invariant_matmul(torch.zeros(64, 3).T, weight)
    with pytest.raises(ValueError, match="bias, got"):
        launch_invariant_matmul(x, weight, bias[:-1])


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("shape", "dtype"),
    device_cases({"down": (129, 14336, 4096), "decode": (64, 4096, 4096), "odd vocabulary": (63, 4096, 32001)}),
)
def test_real_shapes_on_a_device(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    check(shape, dtype, "cuda")


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("shape", "dtype"),
    device_cases(
        {
            "prefill": (2048, 4096, 6144),
            "down": (300, 14336, 4096),
            "wide": (300, 4096, 28672),
            "odd": (300, 1000, 12000),
        }
    ),
)
def test_rows_do_not_depend_on_the_batch_on_a_device(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    x, weight, bias = inputs(shape, dtype, "cuda")
    everything = invariant_matmul(x, weight, bias)
    for num_rows in BATCHES:
        assert_same_bits([invariant_matmul(x[:num_rows], weight, bias)], [everything[:num_rows]])
        assert_same_bits([invariant_matmul(x[-num_rows:], weight, bias)], [everything[-num_rows:]])


@pytest.mark.gpu
@pytest.mark.parametrize("num_rows", [64, 300])
def test_bits_on_a_device(num_rows: int) -> None:
    x, weight, bias = inputs((num_rows, 4096, 4096), torch.bfloat16, "cuda")

    def run() -> list[torch.Tensor]:
        return [invariant_matmul(x, weight, bias)]

    assert_repeats(run)
    assert_replays(run, [x, weight, bias], inputs((num_rows, 4096, 4096), torch.bfloat16, "cuda", seed=1))
