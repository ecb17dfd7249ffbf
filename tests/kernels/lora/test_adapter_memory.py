"""Where adapters lie, and what of it is refused."""

import pytest
import torch

from verilora.kernels.lora.adapter_memory import AdapterMemory
from verilora.kernels.lora.page_layout import PageLayout


def test_memory_of_another_page_size_is_refused() -> None:
    pool, table = torch.zeros(2, 8192, dtype=torch.uint8), torch.zeros(1, 2, dtype=torch.int32)
    with pytest.raises(ValueError, match="pool, got"):
        AdapterMemory(pool=pool, page_table=table, pages=PageLayout(page_bytes=16384), max_rank=8)
    with pytest.raises(ValueError, match="pool, got strides"):
        AdapterMemory(pool=pool.repeat(2, 1)[::2], page_table=table, pages=PageLayout(page_bytes=8192), max_rank=8)
    with pytest.raises(ValueError, match="page_table, got"):
        AdapterMemory(pool=pool, page_table=table[0], pages=PageLayout(page_bytes=8192), max_rank=8)
