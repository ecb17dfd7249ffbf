"""Rotations against fp64, and against their own properties."""

import pytest
import torch

from verilora.kernels.layers.rope import launch_rope, rope, rope_reference, rotary_table

from device_checks import assert_repeats, assert_replays, assert_same_bits, device_cases

# Elements up to about 5 and one rounding; fp32 has the table's rounding too.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 4e-3, torch.bfloat16: 3e-2}
# num_tokens, query heads, key heads, head_dim, rotated dimensions
SHAPES = [
    pytest.param((1, 1, 1, 64, 64), id="one token"),
    pytest.param((63, 9, 3, 64, 64), id="odd heads"),
    pytest.param((129, 4, 1, 80, 80), id="a head that is no power of two"),
    pytest.param((5, 8, 2, 64, 32), id="partly rotated"),
]


def frequencies(rotary_dim: int) -> torch.Tensor:
    return 10000.0 ** -(torch.arange(0, rotary_dim, 2, dtype=torch.float64) / rotary_dim)


def inputs(
    num_tokens: int, num_heads: int, num_key_heads: int, head_dim: int, dtype: torch.dtype, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return query and key as slices of a fused projection, and positions, the second of which is padding."""
    generator = torch.Generator().manual_seed(seed)
    fused = torch.randn(num_tokens, num_heads + 2 * num_key_heads, head_dim, generator=generator).to(dtype)
    positions = torch.randint(0, 4096, (num_tokens,), generator=generator)
    positions[1:2] = -1
    return fused[:, :num_heads], fused[:, num_heads : num_heads + num_key_heads], positions


def exact(heads: torch.Tensor, positions: torch.Tensor, rotary_dim: int) -> torch.Tensor:
    """Rotate pairs as complex numbers."""
    half = rotary_dim // 2
    angles = positions.double().cpu()[:, None] * frequencies(rotary_dim)
    turned = torch.complex(heads[..., :half].double(), heads[..., half:rotary_dim].double())
    turned = turned * torch.polar(torch.ones_like(angles), angles).to(heads.device)[:, None, :]
    rotated = torch.cat((turned.real, turned.imag, heads[..., rotary_dim:].double()), dim=-1)
    return torch.where((positions >= 0)[:, None, None], rotated, heads.double())


def check(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
    *sizes, rotary_dim = shape
    query, key, positions = (tensor.to(device) for tensor in inputs(*sizes, dtype))
    table = rotary_table(frequencies(rotary_dim), 4096).to(device)
    expected = [exact(heads, positions, rotary_dim) for heads in (query, key)]
    both = [run(query.clone(), key.clone(), positions, table) for run in (rope_reference, launch_rope)]
    assert_same_bits(*both)
    for found in both:
        for heads, correct, before in zip(found, expected, (query, key), strict=True):
            torch.testing.assert_close(heads.double(), correct, rtol=0, atol=TOLERANCE[dtype])
            assert torch.equal(heads[1:2], before[1:2])
            assert torch.equal(heads[..., rotary_dim:], before[..., rotary_dim:])


@pytest.mark.interpreter
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", SHAPES)
def test_heads_are_rotated(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    check(shape, dtype, "cpu")


@pytest.mark.interpreter
def test_slices_are_rotated_in_place_and_values_left_alone() -> None:
    query, key, positions = inputs(7, 4, 2, 64, torch.float32)
    fused = query._base
    before = fused.clone()
    expected = rope_reference(query.clone(), key.clone(), positions, rotary_table(frequencies(64), 4096))
    launch_rope(query, key, positions.int(), rotary_table(frequencies(64), 4096))
    torch.testing.assert_close((query, key), expected)
    assert torch.equal(fused[:, 6:], before[:, 6:])


def test_products_depend_on_distance_alone() -> None:
    query, key = torch.randn(2, 1, 1, 64, generator=torch.Generator().manual_seed(0))
    table = rotary_table(frequencies(64), 4096)

    def product(at: int) -> torch.Tensor:
        turned, _ = rope_reference(query.clone(), key.clone(), torch.tensor([at]), table)
        _, other = rope_reference(query.clone(), key.clone(), torch.tensor([at + 9]), table)
        return (turned * other).sum()

    torch.testing.assert_close(product(0), product(3000), rtol=0, atol=1e-4)


def test_other_shapes_are_refused() -> None:
    query, key, positions = inputs(3, 4, 2, 64, torch.float32)
    table = rotary_table(frequencies(64), 16)
    with pytest.raises(ValueError, match="key, got"):
        launch_rope(query, key.double(), positions, table)
    with pytest.raises(ValueError, match="table, got"):
        launch_rope(query, key, positions, rotary_table(frequencies(128), 16))
    with pytest.raises(ValueError, match="positions, got"):
        launch_rope(query, key, positions[:2], table)
    with pytest.raises(ValueError, match="positions, got"):
        launch_rope(query, key, positions[:1].expand(3), table)


LARGE = {
    "Llama-3.1-8B": (64, 32, 8, 128, 128),
    "Qwen2.5-7B": (129, 28, 4, 128, 128),
    "one key head": (63, 32, 1, 96, 96),
}


@pytest.mark.gpu
@pytest.mark.parametrize(("shape", "dtype"), device_cases(LARGE))
def test_real_shapes_on_a_device(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    check(shape, dtype, "cuda")


@pytest.mark.gpu
def test_bits_on_a_device() -> None:
    sizes = (64, 32, 8, 128)
    query, key, positions = (tensor.cuda() for tensor in inputs(*sizes, torch.bfloat16))
    table = rotary_table(frequencies(128), 4096).cuda()

    def run() -> tuple[torch.Tensor, ...]:
        return rope(query.clone(), key.clone(), positions, table)

    assert_repeats(run)
    turned = run()
    for i in (0, 1, 63):
        alone = rope(query[i : i + 1].clone(), key[i : i + 1].clone(), positions[i : i + 1], table)
        assert_same_bits(alone, [heads[i : i + 1] for heads in turned])
    fresh = [tensor.cuda() for tensor in inputs(*sizes, torch.bfloat16, seed=1)]
    fresh[2][40:] = -1
    assert_replays(run, [query, key, positions], fresh)
