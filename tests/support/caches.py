"""Paged caches with random contents, and poison wherever nothing was written."""

from collections.abc import Sequence

import torch

from verilora.kernels.cache.cache_write import cache_write
from verilora.kernels.cache.kv_pages import PAGE_SIZE, KVFormat, KVPages, page_slots
from verilora.kernels.cache.write_step import WriteStep


def poisoned_pages(
    format: KVFormat,
    num_pages: int,
    num_kv_heads: int,
    head_dim: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    has_side_planes: bool = False,
    is_rotated: bool = False,
) -> KVPages:
    """Return pages of which every byte that a kernel must not use shows."""
    pages = KVPages.allocate(
        format,
        num_pages,
        num_kv_heads,
        head_dim,
        dtype=dtype,
        device=device,
        has_side_planes=has_side_planes,
        is_rotated=is_rotated,
    )
    for name in ("keys", "values", "key_meta", "value_meta"):
        plane = pages.planes().get(name)
        if plane is not None:
            plane.fill_(255 if plane.dtype == torch.uint8 else torch.nan)
    return pages


def page_table(lens: Sequence[int], seed: int = 0) -> torch.Tensor:
    """Return scattered pages for rows of these lengths, -1 where a row needs none; page 0 is nobody's."""
    width = max(1, *(-(-length // PAGE_SIZE) for length in lens))
    generator = torch.Generator().manual_seed(seed)
    table = torch.randperm(len(lens) * width, generator=generator).int().reshape(len(lens), width) + 1
    needed = torch.tensor([[-(-length // PAGE_SIZE)] for length in lens])
    return table.masked_fill(torch.arange(width) >= needed, -1)


def slots_of(table: torch.Tensor, lens: Sequence[int]) -> torch.Tensor:
    """Return the slots of all tokens, row by row, int64."""
    return torch.cat([slots[:length] for slots, length in zip(page_slots(table.long()), lens, strict=True)])


def filled_cache(
    format: KVFormat,
    lens: Sequence[int],
    num_kv_heads: int,
    head_dim: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    seed: int = 0,
    has_side_planes: bool = False,
) -> tuple[KVPages, torch.Tensor, torch.Tensor]:
    """Return pages that hold rows of random keys and values, their table and lens."""
    table = page_table(lens, seed).to(device)
    pages = poisoned_pages(
        format, table.numel() + 1, num_kv_heads, head_dim, dtype=dtype, device=device, has_side_planes=has_side_planes
    )
    torch.manual_seed(seed)
    keys, values = torch.randn(2, sum(lens), num_kv_heads, head_dim, device=device).to(dtype)
    positions = torch.cat([torch.arange(length, device=device) for length in lens]).int()
    cache_write(WriteStep(slots=slots_of(table, lens), positions=positions), keys, values, pages)
    return pages, table, torch.tensor(lens, dtype=torch.int32, device=device)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the norm of the difference over the norm of what was expected; NaN where either has one."""
    return float((found.double() - expected.double()).norm() / expected.double().norm().clamp(min=1e-30))


def same_bytes(found: KVPages, expected: KVPages) -> bool:
    """Return whether all planes hold the same bits, poison included."""
    pairs = zip(found.planes().values(), expected.planes().values(), strict=True)
    return all(torch.equal(left.view(torch.uint8), right.view(torch.uint8)) for left, right in pairs)
