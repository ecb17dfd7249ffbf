"""Paged caches with random contents, and poison wherever nothing was written; chunks of new tokens to go with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from verilora.kernels.attention.layer_cache import LayerCache
from verilora.kernels.attention.prefill_step import PrefillStep
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


@dataclass
class Chunks:
    """Rows of new tokens, ready to be attended."""

    step: PrefillStep
    q: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    cache: LayerCache | None = None

    def run(self, attend: Callable[..., Any], **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        found = attend(self.step, self.q, self.keys, self.values, self.cache, **options)
        return found[0], found[1]

    def after(self, format: KVFormat, lens: Sequence[int]) -> "Chunks":
        """Return the same rows with prefixes of these lengths."""
        num_kv_heads, head_dim = self.keys.shape[1:]
        pages, table, prefix_lens = filled_cache(
            format, lens, num_kv_heads, head_dim, dtype=self.q.dtype, device=str(self.q.device)
        )
        step = replace(self.step, table=table, prefix_lens=prefix_lens)
        return replace(self, step=step, cache=LayerCache(pages=pages))


def make_chunks(
    lens: Sequence[int],
    num_kv_heads: int,
    group: int,
    head_dim: int,
    dtype: torch.dtype,
    device: str = "cpu",
    *,
    window: int = 0,
) -> Chunks:
    """Return chunks as a fused projection leaves them: three slices of one tensor."""
    torch.manual_seed(sum(lens))
    fused = torch.randn(sum(lens), num_kv_heads * (group + 2), head_dim, device=device).to(dtype)
    q, keys, values = fused.split([num_kv_heads * group, num_kv_heads, num_kv_heads], 1)
    starts = torch.tensor([0, *torch.tensor(lens).cumsum(0).tolist()], dtype=torch.int32, device=device)
    step = PrefillStep(starts=starts, max_len=max(lens), scale=head_dim**-0.5, window=window)
    return Chunks(step, q, keys, values)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the norm of the difference over the norm of what was expected; NaN where either has one."""
    return float((found.double() - expected.double()).norm() / expected.double().norm().clamp(min=1e-30))


def same_bytes(found: KVPages, expected: KVPages) -> bool:
    """Return whether all planes hold the same bits, poison included."""
    pairs = zip(found.planes().values(), expected.planes().values(), strict=True)
    return all(torch.equal(left.view(torch.uint8), right.view(torch.uint8)) for left, right in pairs)
