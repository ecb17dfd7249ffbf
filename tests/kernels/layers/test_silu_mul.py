"""Gated rows against fp64."""

import pytest
import torch

from verilora.kernels.layers.silu_mul import launch_silu_mul, silu_mul, silu_mul_reference

from device_checks import assert_repeats, assert_replays, assert_same_bits, device_cases

# Two roundings, of the SiLU and of the product; fp32 has the sigmoid's error.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2**-10, torch.bfloat16: 2**-7}
SHAPES = [
    pytest.param((1, 2), id="one number"),
    pytest.param((63, 258), id="odd rows"),
    pytest.param((3, 4098), id="several blocks"),
]
LARGE = {"Llama-2-7B": (64, 22016), "Llama-3.1-8B": (129, 28672)}


def random(shape: tuple[int, int], dtype: torch.dtype, device: str = "cpu", seed: int = 0) -> torch.Tensor:
    return (3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))).to(device, dtype)


def check(shape: tuple[int, int], dtype: torch.dtype, device: str) -> None:
    gate_up = random(shape, dtype, device)
    gate, up = gate_up.double().chunk(2, dim=-1)
    expected = gate / (1 + torch.exp(-gate)) * up
    # fp16 has numbers below its normal range, whose last place is 2 ** -24.
    for found in (silu_mul_reference(gate_up), launch_silu_mul(gate_up)):
        torch.testing.assert_close(found.double(), expected, rtol=TOLERANCE[dtype], atol=2**-20)


@pytest.mark.interpreter
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_are_gated(shape: tuple[int, int], dtype: torch.dtype) -> None:
    check(shape, dtype, "cpu")


@pytest.mark.interpreter
def test_rows_may_have_a_stride_and_be_none() -> None:
    wide = random((5, 300), torch.float32)
    torch.testing.assert_close(launch_silu_mul(wide[:, :258]), silu_mul_reference(wide[:, :258]))
    assert launch_silu_mul(wide[:0, :258]).shape == (0, 129)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="gate_up, got"):
        launch_silu_mul(torch.zeros(3, 7))


@pytest.mark.gpu
@pytest.mark.parametrize(("shape", "dtype"), device_cases(LARGE))
def test_real_shapes_on_a_device(shape: tuple[int, int], dtype: torch.dtype) -> None:
    check(shape, dtype, "cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("shape", LARGE.values(), ids=LARGE)
def test_bits_on_a_device(shape: tuple[int, int]) -> None:
    gate_up = random(shape, torch.bfloat16, "cuda")

    def run() -> list[torch.Tensor]:
        return [silu_mul(gate_up)]

    assert_repeats(run)
    for i in (0, 17, len(gate_up) - 1):
        assert_same_bits([silu_mul(gate_up[i : i + 1])], [run()[0][i : i + 1]])
    assert_replays(run, [gate_up], [random(shape, torch.bfloat16, "cuda", seed=1)])
