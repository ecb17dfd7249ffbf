"""The KV cache on a GPU: blocks in pages of the pool, read where they lie (Kwon et al., PagedAttention)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from ...kernels.attention.layer_cache import LayerCache
from ...kernels.cache.kv_pages import KVPages, kv_page_bytes
from ...kernels.cache.kv_quantize import HEAD_DIMS
from ..memory.upload import on_device, on_host
from ..models.architecture import Architecture
from .page_size import PageSize


def paged_head_dim(head_dim: int) -> int:
    """Return how wide a head is in pages, its end filled up with zeros; raises ValueError for one that is too wide."""
    wide = next((known for known in HEAD_DIMS if known >= head_dim), None)
    if wide is None:
        raise ValueError(f"head_dim, got {head_dim}, expected at most {HEAD_DIMS[-1]} on a GPU")
    return wide


def paged_layer_bytes(architecture: Architecture, dtype: torch.dtype) -> int:
    """Return how many bytes a block takes in one layer."""
    return kv_page_bytes("full", architecture.num_kv_heads, paged_head_dim(architecture.head_dim), dtype)


@dataclass(frozen=True)
class PagedCache:
    """The pool as the caches of all layers: uint8 [num_pages, page_bytes]. A page holds a block of some layers."""

    architecture: Architecture
    pool: torch.Tensor
    size: PageSize
    dtype: torch.dtype

    @property
    def num_groups(self) -> int:
        """Groups of layers, each with a page of its own for a block."""
        return self.size.num_pages(self.architecture.num_layers)

    @cached_property
    def layers(self) -> list[LayerCache]:
        """Each layer's cache, as kernels read it."""
        layer_bytes = paged_layer_bytes(self.architecture, self.dtype)
        head_dim = paged_head_dim(self.architecture.head_dim)
        return [
            LayerCache(
                pages=KVPages.view(
                    self.pool,
                    "full",
                    self.architecture.num_kv_heads,
                    head_dim,
                    offset=layer % self.size.num_layers * layer_bytes,
                    dtype=self.dtype,
                )
            )
            for layer in range(self.architecture.num_layers)
        ]

    def group(self, layer: int) -> int:
        """Return the group that a layer belongs to."""
        return layer // self.size.num_layers

    def read(self, pages: Sequence[int]) -> torch.Tensor:
        """Return host memory that some pages are copied to, in the order of the device's stream."""
        return on_host(self.pool[self._ids(pages)])

    def write(self, pages: Sequence[int], content: torch.Tensor) -> None:
        """Fill some pages with what `read` returned."""
        self.pool[self._ids(pages)] = content.to(self.pool.device, non_blocking=True)

    def copy(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Copy pages within the pool."""
        self.pool[self._ids(target)] = self.pool[self._ids(source)]

    def _ids(self, pages: Sequence[int]) -> torch.Tensor:
        return on_device(torch.tensor(pages), self.pool.device)
