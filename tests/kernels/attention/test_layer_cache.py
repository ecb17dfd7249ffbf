"""A layer's cache that does not fit together is refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from verilora.kernels.attention.cache_ranks import CacheRanks
from verilora.kernels.attention.layer_cache import LayerCache
from verilora.kernels.cache.kv_pages import PAGE_SIZE, KVFormat, KVPages


def empty_pages(format: KVFormat = "full", **changes: Any) -> KVPages:
    shape = {"num_pages": 1, "num_kv_heads": 2, "head_dim": 64, "dtype": torch.float32}
    return KVPages.allocate(format, **{**shape, **changes})


RANKS = CacheRanks(ranks=torch.zeros(1, 2, PAGE_SIZE).int(), cos_sin=torch.zeros(4, 64))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"pages": empty_pages("int8", head_dim=32)}, "head_dim, got 32"),
        ({"pages": empty_pages("int8"), "ranks": RANKS}, "ranks, got pages of int8"),
        ({"pages": empty_pages(is_rotated=True), "ranks": RANKS}, "ranks, got rotated pages"),
        ({"pages": empty_pages("int4"), "ring": empty_pages("fp8")}, "ring, got torch.uint8"),
        ({"pages": empty_pages(dtype=torch.half), "ring": empty_pages()}, "ring, got torch.float32"),
        ({"pages": empty_pages("int4"), "ring": empty_pages(num_kv_heads=1)}, r"ring, got \(1, 64, False\)"),
        ({"pages": empty_pages("int4", is_rotated=True), "ring": empty_pages()}, r"expected .* \(2, 64, True\)"),
    ],
)
def test_a_cache_that_does_not_fit_together_is_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LayerCache(**parts)


def test_ranks_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="ranks, got"):
        replace(RANKS, ranks=torch.zeros(3, 2, 16, dtype=torch.int32))
    with pytest.raises(ValueError, match="cos_sin, got"):
        replace(RANKS, cos_sin=torch.zeros(4, 64, dtype=torch.half))
