"""What SGMV takes beside the rows: the step, the projections and the configuration, and what of these is refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from verilora.kernels.lora.adapter_memory import AdapterMemory
from verilora.kernels.lora.lora_batch import ITEM_WIDTH
from verilora.kernels.lora.lora_step import LoraStep
from verilora.kernels.lora.page_layout import PageLayout

MEMORY = AdapterMemory(
    pool=torch.zeros(2, 8192, dtype=torch.uint8),
    page_table=torch.zeros(1, 2, dtype=torch.int32),
    pages=PageLayout(page_bytes=8192),
    max_rank=8,
    num_layers=1,
    widths={"q": (256, 256)},
)
STEP = LoraStep(items=torch.zeros(3, ITEM_WIDTH, dtype=torch.int32), memory=MEMORY, phase="decode")


def test_a_cpu_starts_nothing_early() -> None:
    assert not STEP.starts_early


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"items": torch.zeros(3, 5, dtype=torch.int32)}, r"items, got torch.int32 \(3, 5\)"),
        ({"items": torch.zeros(3, ITEM_WIDTH)}, "items, got torch.float32"),
        ({"items": torch.zeros(6, ITEM_WIDTH, dtype=torch.int32)[::2]}, "items, got"),
        (
            {"items": torch.zeros(3, ITEM_WIDTH, dtype=torch.int32, device="meta")},
            "items, got them on meta, expected cpu",
        ),
        ({"phase": "train"}, "phase, got 'train'"),
    ],
)
def test_other_steps_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(STEP, **change)
