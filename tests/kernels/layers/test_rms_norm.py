"""Norms against fp64."""

import pytest
import torch

from verilora.kernels.layers.rms_norm import launch_rms_norm, rms_norm, rms_norm_reference

from device_checks import assert_repeats, assert_replays, assert_same_bits, device_cases

EPS = 1e-5
# Two roundings, of the normalised row and of its product with the weight, each half a unit in the last place.
TOLERANCE = {torch.float32: 1e-6, torch.float16: 2**-10, torch.bfloat16: 2**-7}
SHAPES = [
    pytest.param((1, 64), id="one row"),
    pytest.param((63, 129), id="odd rows"),
    pytest.param((2, 5000), id="wide rows"),
    pytest.param((5, 3, 63), id="heads"),
    pytest.param((129, 1, 128), id="one head"),
]
LARGE = {"decode": (64, 4096), "odd": (129, 11008), "widest": (63, 14336), "heads": (65, 32, 128)}


def random(shape: tuple[int, ...], dtype: torch.dtype, device: str = "cpu", seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device, dtype)


def exact(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    wide = x.double()
    return weight.double() * wide / (wide.square().mean(-1, keepdim=True) + EPS).sqrt()


def check(shape: tuple[int, ...], dtype: torch.dtype, device: str, with_residual: bool) -> None:
    x, weight = random(shape, dtype, device), random(shape[-1:], dtype, device, seed=1)
    residual = random(shape, dtype, device, seed=2) if with_residual else None
    total = x if residual is None else (residual.float() + x.float()).to(dtype)
    by_reference = None if residual is None else residual.clone()
    expected = exact(total, weight)
    for found, after in (
        (rms_norm_reference(x, weight, EPS, residual=by_reference), by_reference),
        (launch_rms_norm(x, weight, EPS, residual=residual), residual),
    ):
        torch.testing.assert_close(found.double(), expected, rtol=TOLERANCE[dtype], atol=1e-7)
        assert after is None or torch.equal(after, total)


@pytest.mark.interpreter
@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_are_normalised(shape: tuple[int, ...], dtype: torch.dtype, with_residual: bool) -> None:
    check(shape, dtype, "cpu", with_residual)


@pytest.mark.interpreter
def test_heads_of_a_fused_projection_are_normalised_in_place() -> None:
    fused = random((7, 6 * 64), torch.float32)
    before, heads = fused.clone(), fused.view(7, 6, 64)[:, 1:4]
    weight = random((64,), torch.float32, seed=1)
    expected = rms_norm_reference(heads, weight, EPS)
    assert launch_rms_norm(heads, weight, EPS, out=heads) is heads
    torch.testing.assert_close(heads, expected)
    assert torch.equal(fused[:, :64], before[:, :64])
    assert torch.equal(fused[:, 256:], before[:, 256:])


@pytest.mark.interpreter
def test_no_rows_are_no_work() -> None:
    assert launch_rms_norm(torch.zeros(0, 64), torch.ones(64), EPS).shape == (0, 64)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="weight, got"):
        launch_rms_norm(torch.zeros(2, 64), torch.ones(63), EPS)
    with pytest.raises(ValueError, match="residual, got"):
        launch_rms_norm(torch.zeros(2, 64), torch.ones(64), EPS, residual=torch.zeros(3, 64))
    with pytest.raises(ValueError, match="x, got"):
        launch_rms_norm(torch.zeros(64, 2).T, torch.ones(64), EPS)


@pytest.mark.gpu
@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize(("shape", "dtype"), device_cases(LARGE))
def test_real_shapes_on_a_device(shape: tuple[int, ...], dtype: torch.dtype, with_residual: bool) -> None:
    check(shape, dtype, "cuda", with_residual)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", LARGE.values(), ids=LARGE)
def test_bits_on_a_device(shape: tuple[int, ...]) -> None:
    x, residual = (random(shape, torch.bfloat16, "cuda", seed) for seed in (0, 1))
    weight = random(shape[-1:], torch.bfloat16, "cuda", seed=2)

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        total = residual.clone()
        return rms_norm(x, weight, EPS, residual=total), total

    assert_repeats(run)
    normal, _ = run()
    for i in (0, 17, len(x) - 1):
        alone = rms_norm(x[i : i + 1], weight, EPS, residual=residual[i : i + 1].clone())
        assert_same_bits([alone], [normal[i : i + 1]])
    assert_replays(run, [x, residual], [random(shape, torch.bfloat16, "cuda", seed) for seed in (3, 4)])
