"""One layer's cache as attention reads it, put together and checked once, when its memory is."""

from dataclasses import dataclass

from ..cache.kv_pages import KVPages
from ..cache.kv_quantize import MAX_CODE_DIM
from .cache_ranks import CacheRanks


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCache:
    """Pages in any format, and what may come with them.

    ring   pages in full precision for the newest tokens of each row, one page a row, if the others are quantised
    ranks  where keys that were stored before RoPE stand in their cache, as for streaming
    """

    pages: KVPages
    ring: KVPages | None = None
    ranks: CacheRanks | None = None

    def __post_init__(self) -> None:
        pages, ring = self.pages, self.ring
        if pages.format != "full" and not 64 <= pages.head_dim <= MAX_CODE_DIM:
            raise ValueError(f"head_dim, got {pages.head_dim}, expected 64 or 128 for {pages.format}")
        if self.ranks is not None and (pages.format != "full" or pages.is_rotated):
            kind = "rotated pages" if pages.is_rotated else f"pages of {pages.format}"
            raise ValueError(f"ranks, got {kind}, expected full ones: keys are turned by their rank in full precision")
        if ring is None:
            return
        if ring.format != "full" or (pages.format == "full" and pages.keys.dtype != ring.keys.dtype):
            raise ValueError(f"ring, got {ring.keys.dtype}, expected full pages of the query's type")
        shape = (pages.num_kv_heads, pages.head_dim, pages.is_rotated)
        if (ring.num_kv_heads, ring.head_dim, ring.is_rotated) != shape:
            raise ValueError(
                f"ring, got {(ring.num_kv_heads, ring.head_dim, ring.is_rotated)}, expected heads, head_dim and"
                f" is_rotated of the pages, {shape}"
            )
