"""What pages hold, and where they lie in a pool."""

from typing import Any

import pytest
import torch

from verilora.kernels.cache.cache_write import cache_write
from verilora.kernels.cache.kv_pages import FORMATS, PAGE_SIZE, KVPages, kv_page_bytes
from verilora.kernels.cache.write_step import WriteStep


def test_bytes_a_slot() -> None:
    """The memory that the formats promise, for one head of 128 dims."""
    sizes = {format: kv_page_bytes(format, 1, 128, torch.bfloat16) / PAGE_SIZE for format in FORMATS}
    assert sizes == {"full": 512, "fp8": 256, "int8": 272, "int4": 144}
    assert kv_page_bytes("int4", 1, 128, torch.bfloat16, has_side_planes=True) / PAGE_SIZE <= 154


def test_pages_lie_within_the_pages_of_a_pool() -> None:
    """A view writes between its offset and its end, and nowhere else."""
    pool = torch.full((3, 8192), 7, dtype=torch.uint8)
    pages = KVPages.view(pool, "int4", 2, 64, offset=256)
    keys, values = torch.randn(2, 64, 2, 64)
    cache_write(WriteStep(slots=torch.arange(64)), keys, values, pages)
    used = kv_page_bytes("int4", 2, 64, torch.bfloat16)
    assert (pool[:, :256] == 7).all()
    assert (pool[:, 256 + used :] == 7).all()
    assert (pool[2] == 7).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "full", "num_kv_heads": 8}, "pool, got"),
        ({"pool": torch.zeros(3, 8192)}, "pool, got torch.float32"),
        ({"offset": 8}, "offset, got 8"),
        ({"format": "int2"}, "format, got 'int2'"),
        ({"head_dim": 80}, "head_dim, got 80"),
    ],
)
def test_what_does_not_fit_a_pool_is_refused(change: dict[str, Any], message: str) -> None:
    pool = torch.zeros(3, 8192, dtype=torch.uint8)
    fitting = {"pool": pool, "format": "int4", "num_kv_heads": 2, "head_dim": 64}
    KVPages.view(**fitting)
    with pytest.raises(ValueError, match=message):
        KVPages.view(**{**fitting, **change})


def test_pages_without_side_planes_say_so() -> None:
    with pytest.raises(ValueError, match="expected side planes"):
        KVPages.allocate("full", 1, 1, 64).side_planes()
