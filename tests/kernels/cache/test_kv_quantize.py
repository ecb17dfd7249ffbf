"""The quantiser and the rotation against their references, and how large their errors are."""

import pytest
import torch

from verilora.kernels.cache.hadamard import hadamard, hadamard_reference, launch_hadamard
from verilora.kernels.cache.kv_quantize import (
    fp8_decode,
    fp8_encode,
    kv_dequantize,
    kv_quantize,
    kv_quantize_reference,
    launch_kv_quantize,
)

from caches import relative_error

SHAPES = [(1, 1, 32), (7, 3, 64), (5, 2, 128)]


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 2


NEIGHBOURS, SCATTERED = (0, 1, 2, 3), (3, 40, 77, 110)


def vectors_with_outlier_channels(num_tokens: int, channels: tuple[int, ...] = NEIGHBOURS) -> torch.Tensor:
    """Return keys of which four channels are eight times as large as the rest."""
    keys = vectors(num_tokens, 8, 128)
    keys[..., channels] *= 8
    return keys


@pytest.mark.interpreter
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
def test_the_kernel_quantises_as_its_reference(shape: tuple[int, int, int], bits: int, dtype: torch.dtype) -> None:
    x = vectors(*shape).to(dtype)
    found, expected = launch_kv_quantize(x, bits), kv_quantize_reference(x, bits)
    assert torch.equal(found.codes, expected.codes)
    assert torch.equal(found.meta, expected.meta)
    assert relative_error(found.error, expected.error) < 1e-5


@pytest.mark.interpreter
@pytest.mark.parametrize("bits", [4, 8])
def test_the_kernel_turns_what_it_quantises(bits: int) -> None:
    x = vectors_with_outlier_channels(9)
    found, expected = launch_kv_quantize(x, bits, rotate=True), kv_quantize_reference(x, bits, rotate=True)
    assert relative_error(kv_dequantize(*found[:2], bits), kv_dequantize(*expected[:2], bits)) < 1e-3
    assert relative_error(found.error, expected.error) < 1e-2


@pytest.mark.interpreter
def test_equal_numbers_and_slices_quantise() -> None:
    x = torch.full((3, 2, 64), 1.5)
    x[1] = 0.0
    found = launch_kv_quantize(x, 4)
    assert torch.equal(kv_dequantize(found.codes, found.meta, 4), x)
    wide = vectors(3, 4, 128)
    assert torch.equal(launch_kv_quantize(wide[:, 1:3], 8).codes, kv_quantize_reference(wide[:, 1:3], 8).codes)


@pytest.mark.parametrize("rotate", [False, True])
def test_the_error_is_the_distance_to_what_codes_stand_for(rotate: bool) -> None:
    x = vectors(11, 2, 128)
    codes, meta, error = kv_quantize_reference(x, 4, rotate=rotate)
    back = kv_dequantize(codes, meta, 4)
    assert relative_error(((hadamard_reference(back) if rotate else back) - x).norm(dim=-1), error) < 1e-5


def test_errors_of_gaussian_vectors() -> None:
    """The bounds hold for groups of 64; 2 bits a code do not serve."""
    x = vectors(4096, 8, 128)
    share = {bits: relative_error(kv_dequantize(*kv_quantize_reference(x, bits)[:2], bits), x) for bits in (2, 4, 8)}
    assert share[4] <= 0.090
    assert share[8] <= 0.006
    assert share[2] > 0.3


@pytest.mark.parametrize(
    ("channels", "bound"), [(NEIGHBOURS, 0.080), (SCATTERED, 0.090)], ids=["neighbours", "scattered"]
)
def test_rotation_tames_outlier_channels(channels: tuple[int, ...], bound: float) -> None:
    """One group a vector would err by 0.204 without rotation, two by 0.15."""
    keys = vectors_with_outlier_channels(4096, channels)
    turned = kv_quantize_reference(keys, 4, rotate=True).error.norm() / keys.norm()
    straight = kv_quantize_reference(keys, 4).error.norm() / keys.norm()
    assert turned <= bound
    assert straight > 1.7 * turned


def test_fp8_is_rounded_to_nearest_and_saturated() -> None:
    x = torch.tensor([0.0, 1.0, -1.0625, 1.1875, 448.0, 460.0, -1e6, 2.0**-9, 2.0**-10 * 1.5])
    expected = torch.tensor([0.0, 1.0, -1.0, 1.25, 448.0, 448.0, -448.0, 2.0**-9, 2.0**-9])
    assert torch.equal(fp8_decode(fp8_encode(x)), expected)


def test_what_cannot_be_quantised_is_refused() -> None:
    with pytest.raises(ValueError, match="bits, got 3"):
        launch_kv_quantize(vectors(1, 1, 64), 3)
    with pytest.raises(ValueError, match="x, got"):
        launch_kv_quantize(vectors(1, 1, 80), 4)
    with pytest.raises(ValueError, match="x, got"):
        launch_hadamard(vectors(1, 24))


@pytest.mark.gpu
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=["fp32", "fp16", "bf16"])
def test_real_shapes(bits: int, dtype: torch.dtype) -> None:
    x = vectors(8191, 8, 128).to("cuda", dtype)
    found, expected = kv_quantize(x, bits), kv_quantize_reference(x, bits)
    assert torch.equal(found.codes, expected.codes)
    assert torch.equal(found.meta, expected.meta)
    assert relative_error(found.error, expected.error) < 1e-5
    turned = kv_quantize(x, bits, rotate=True)
    assert relative_error(turned.error, kv_quantize_reference(x, bits, rotate=True).error) < 1e-2
    assert torch.equal(kv_quantize(x, bits, rotate=True).codes, turned.codes)
    assert relative_error(hadamard(x), hadamard_reference(x)) < {2: 1e-2}.get(x.element_size(), 1e-5)
