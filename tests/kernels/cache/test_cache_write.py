"""Cache writes against their reference, in every format."""

from dataclasses import replace

import pytest
import torch

from verilora.kernels.cache.cache_write import cache_write, cache_write_reference, launch_cache_write
from verilora.kernels.cache.hadamard import hadamard_reference
from verilora.kernels.cache.kv_pages import FORMATS, PAGE_SIZE, KVFormat, read_pages, read_plane
from verilora.kernels.cache.write_step import WriteStep

from caches import page_table, poisoned_pages, relative_error, same_bytes, slots_of
from device_checks import assert_replays

RANGES = [[0.1, 2.0, 0.2, 3.0]]


def new_tokens(num_tokens: int, num_kv_heads: int, head_dim: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Return keys, values and slots of a head's own; one token is padding, one head of another is left out."""
    generator = torch.Generator().manual_seed(num_tokens)
    keys, values = torch.randn(2, num_tokens, num_kv_heads, head_dim, generator=generator).to(dtype)
    slots = [torch.randperm(5 * PAGE_SIZE, generator=generator)[:num_tokens] for _ in range(num_kv_heads)]
    table = torch.stack(slots, 1).int()
    table[1:2] = -1
    table[2:3, 0] = -1
    return keys, values, table


@pytest.mark.interpreter
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("ranges", [None, RANGES], ids=["own range", "given range"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
def test_the_kernel_writes_what_its_reference_writes(
    format: KVFormat, ranges: list[list[float]] | None, dtype: torch.dtype
) -> None:
    """Untouched memory included: all pages are compared."""
    keys, values, slots = new_tokens(7, 3, 64, dtype)
    step = WriteStep(slots=slots, positions=torch.arange(100, 107).int())
    error_ranges = None if ranges is None else torch.tensor(ranges).expand(7, 4).contiguous()
    found, expected = (poisoned_pages(format, 5, 3, 64, dtype=dtype, has_side_planes=True) for _ in range(2))
    errors = launch_cache_write(step, keys, values, found, error_ranges=error_ranges)
    expected_errors = cache_write_reference(step, keys, values, expected, error_ranges=error_ranges)
    assert torch.allclose(errors, expected_errors, rtol=1e-5, atol=1e-6, equal_nan=True)
    assert found.friendliness is not None
    assert expected.friendliness is not None
    assert relative_error(found.friendliness, expected.friendliness) < 1e-3
    assert same_bytes(replace(found, friendliness=None), replace(expected, friendliness=None))


@pytest.mark.interpreter
@pytest.mark.parametrize("format", ["full", "int4"])
def test_keys_are_turned_on_their_way(format: KVFormat) -> None:
    keys, values, _ = new_tokens(40, 2, 64, torch.float32)
    table = page_table([40])
    pages = poisoned_pages(format, 3, 2, 64, is_rotated=True)
    launch_cache_write(WriteStep(slots=slots_of(table, [40])), keys, values, pages)
    stored = read_pages(pages, table)[0][0, :, :40].transpose(0, 1)
    assert relative_error(hadamard_reference(stored), keys) < (1e-5 if format == "full" else 0.1)


@pytest.mark.parametrize("format", FORMATS)
def test_what_was_written_is_read(format: KVFormat) -> None:
    keys, values, _ = new_tokens(45, 2, 128, torch.float32)
    table = page_table([45])
    pages = poisoned_pages(format, 3, 2, 128, has_side_planes=True)
    cache_write(WriteStep(slots=slots_of(table, [45]), positions=torch.arange(45).int()), keys, values, pages)
    tolerance = {"full": 0.0, "fp8": 0.03, "int8": 0.006, "int4": 0.095}[format]
    for read, written in zip(read_pages(pages, table), (keys, values), strict=True):
        assert relative_error(read[0, :, :45].transpose(0, 1), written) <= tolerance
    assert pages.positions is not None
    assert torch.equal(read_plane(pages.positions, table)[0, 1, :46], torch.tensor([*range(45), -1]).int())


def test_what_cannot_be_written_is_refused() -> None:
    keys, values, slots = new_tokens(7, 3, 64, torch.float32)
    pages = poisoned_pages("int4", 5, 3, 64, has_side_planes=True)
    step = WriteStep(slots=slots, positions=torch.arange(7).int())
    with pytest.raises(ValueError, match=r"slots, got \(7, 2\)"):
        launch_cache_write(replace(step, slots=slots[:, :2]), keys, values, pages)
    with pytest.raises(ValueError, match="positions, got none"):
        launch_cache_write(replace(step, positions=None), keys, values, pages)
    ranges = torch.tensor(RANGES).expand(7, 4)
    with pytest.raises(ValueError, match="error_ranges, got"):
        launch_cache_write(step, keys, values, pages, error_ranges=ranges)
    with pytest.raises(ValueError, match="keys and values, got"):
        launch_cache_write(step, keys[..., :32], values, pages)


@pytest.mark.gpu
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@pytest.mark.parametrize(("num_kv_heads", "num_tokens"), [(8, 2047), (32, 2047), (8, 1)])
def test_real_shapes(format: KVFormat, dtype: torch.dtype, num_kv_heads: int, num_tokens: int) -> None:
    table, lens = page_table([num_tokens]).cuda(), [num_tokens]
    keys, values = torch.randn(2, num_tokens, num_kv_heads, 128, device="cuda").to(dtype)
    found, expected = (
        poisoned_pages(format, 65, num_kv_heads, 128, dtype=dtype, device="cuda", has_side_planes=True)
        for _ in range(2)
    )
    step = WriteStep(slots=slots_of(table, lens), positions=torch.arange(num_tokens, device="cuda").int())
    errors = cache_write(step, keys, values, found)
    expected_errors = cache_write_reference(step, keys, values, expected)
    assert relative_error(errors, expected_errors) < 1e-5
    assert same_bytes(replace(found, friendliness=None), replace(expected, friendliness=None))


@pytest.mark.gpu
@pytest.mark.parametrize("format", FORMATS)
def test_a_captured_write_replays_with_other_tokens_and_slots(format: KVFormat) -> None:
    pages = poisoned_pages(format, 5, 3, 64, dtype=torch.bfloat16, device="cuda", has_side_planes=True)
    keys, values, slots = (each.cuda() for each in new_tokens(32, 3, 64, torch.bfloat16))
    positions = torch.arange(32, device="cuda").int()
    step = WriteStep(slots=slots, positions=positions)

    def run() -> list[torch.Tensor]:
        return [cache_write(step, keys, values, pages), *pages.planes().values()]

    fresh = [keys.flip(0), values.flip(0), slots.roll(1, 0), positions + 7]
    assert_replays(run, [keys, values, slots, positions], fresh)


@pytest.mark.gpu
def test_heads_of_256_in_full_precision() -> None:
    table, lens = page_table([100]).cuda(), [100]
    keys, values = torch.randn(2, 100, 2, 256, device="cuda").bfloat16()
    found, expected = (poisoned_pages("full", 5, 2, 256, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    step = WriteStep(slots=slots_of(table, lens))
    errors, expected_errors = (
        cache_write(step, keys, values, found),
        cache_write_reference(step, keys, values, expected),
    )
    assert relative_error(errors, expected_errors) < 1e-5
    assert same_bytes(found, expected)
