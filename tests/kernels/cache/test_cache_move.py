"""Moves of tokens between caches, the cut and the flush."""

from dataclasses import replace

import pytest
import torch

from verilora.kernels.cache.cache_move import (
    cache_errors_reference,
    cache_move,
    cache_move_reference,
    launch_cache_errors,
    launch_cache_move,
)
from verilora.kernels.cache.hadamard import hadamard_reference
from verilora.kernels.cache.kv_pages import FORMATS, PAGE_SIZE, KVFormat, KVPages, read_pages
from verilora.kernels.cache.token_moves import TokenMoves

from caches import filled_cache, poisoned_pages, relative_error, same_bytes


def source_and_slots(
    num_slots: int, num_kv_heads: int, head_dim: int, dtype: torch.dtype, device: str = "cpu"
) -> tuple[KVPages, torch.Tensor, torch.Tensor]:
    """Return filled pages, and slots of each head's own to read and to write; the second entry and one head stay."""
    source, _, _ = filled_cache(
        "full", [num_slots], num_kv_heads, head_dim, dtype=dtype, device=device, has_side_planes=True
    )
    assert source.scores is not None
    source.scores.uniform_()
    generator = torch.Generator().manual_seed(num_slots)
    order = [torch.randperm(num_slots, generator=generator) for _ in range(2 * num_kv_heads)]
    slots = torch.stack(order, 1).to(device)
    out_of, into = slots[:, :num_kv_heads] + PAGE_SIZE, slots[:, num_kv_heads:].clone()
    into[1] = -1
    out_of[2, 0] = -1
    return source, out_of, into


@pytest.mark.interpreter
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
def test_the_kernel_moves_as_its_reference(format: KVFormat, dtype: torch.dtype) -> None:
    source, out_of, into = source_and_slots(9, 3, 64, dtype)
    ranges = torch.tensor([[0.1, 2.0, 0.2, 3.0], [0.0, 1.0, 0.0, 1.0]])
    found, expected = (poisoned_pages(format, 3, 3, 64, dtype=dtype, has_side_planes=True) for _ in range(2))
    moves = TokenMoves(source_slots=out_of, target_slots=into, error_ranges=ranges, entries_per_range=5)
    errors = launch_cache_move(moves, source, found)
    expected_errors = cache_move_reference(moves, source, expected)
    assert torch.allclose(errors, expected_errors, rtol=1e-5, atol=1e-6, equal_nan=True)
    assert errors[:, 1].isnan().all()
    assert found.friendliness is not None
    assert expected.friendliness is not None
    assert relative_error(found.friendliness, expected.friendliness) < 1e-3
    assert same_bytes(replace(found, friendliness=None), replace(expected, friendliness=None))
    would_be = launch_cache_errors(source, out_of, format)
    assert torch.allclose(
        would_be, cache_errors_reference(source, out_of, format), rtol=1e-5, atol=1e-6, equal_nan=True
    )


@pytest.mark.interpreter
@pytest.mark.parametrize("was_rotated", [False, True])
def test_keys_are_turned_on_the_move(was_rotated: bool) -> None:
    """Once: keys that the source holds turned stay as they are."""
    source, out_of, into = source_and_slots(9, 2, 64, torch.float32)
    bare = replace(source, scores=None, friendliness=None, positions=None, is_rotated=was_rotated)
    moves = TokenMoves(source_slots=out_of, target_slots=into)
    found, expected = (poisoned_pages("int8", 2, 2, 64, is_rotated=True) for _ in range(2))
    launch_cache_move(moves, bare, found)
    cache_move_reference(moves, bare, expected)
    table = torch.tensor([[0, 1]])
    found_keys, expected_keys = (read_pages(pages, table)[0].nan_to_num() for pages in (found, expected))
    assert relative_error(found_keys, expected_keys) < 1e-3
    straight = read_pages(source, torch.tensor([[1]]))[0][0, 1, out_of[0, 1] - PAGE_SIZE]
    turned = straight if was_rotated else hadamard_reference(straight)
    assert relative_error(found_keys[0, 1, into[0, 1]], turned) < 0.02


def test_caches_that_do_not_fit_are_refused() -> None:
    source, out_of, into = source_and_slots(9, 3, 64, torch.float32)
    moves = TokenMoves(source_slots=out_of, target_slots=into)
    target = poisoned_pages("int4", 3, 3, 64, has_side_planes=True)
    with pytest.raises(ValueError, match="source, got int4"):
        launch_cache_errors(target, out_of, "int4")
    with pytest.raises(ValueError, match="target and error_ranges, got none"):
        launch_cache_move(moves, source, target)
    with pytest.raises(ValueError, match="target, got 2 heads of 64, expected 3 of 64"):
        launch_cache_move(moves, source, poisoned_pages("int4", 3, 2, 64, has_side_planes=True))
    with pytest.raises(ValueError, match=r"slots, got \(9, 2\)"):
        launch_cache_errors(source, out_of[:, :2], "int4")


@pytest.mark.gpu
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("num_entries", [2048, 1])
def test_real_shapes(format: KVFormat, num_entries: int) -> None:
    source, out_of, into = source_and_slots(2048, 8, 128, torch.bfloat16, "cuda")
    out_of, into = out_of[:num_entries], into[:num_entries]
    ranges = torch.tensor([[0.5, 2.0, 0.5, 2.0]], device="cuda")
    found, expected = (
        poisoned_pages(format, 64, 8, 128, dtype=torch.bfloat16, device="cuda", has_side_planes=True) for _ in range(2)
    )
    moves = TokenMoves(source_slots=out_of, target_slots=into, error_ranges=ranges, entries_per_range=num_entries)
    errors = cache_move(moves, source, found)
    expected_errors = cache_move_reference(moves, source, expected)
    assert torch.allclose(errors, expected_errors, rtol=1e-5, atol=1e-6, equal_nan=True)
    assert same_bytes(replace(found, friendliness=None), replace(expected, friendliness=None))
