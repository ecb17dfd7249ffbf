"""What SGMV takes beside the rows: the step, the projections and the configuration, and what of these is refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from verilora.kernels.lora.adapter_memory import AdapterMemory
from verilora.kernels.lora.fused_projections import FusedProjections
from verilora.kernels.lora.lora_batch import ITEM_WIDTH
from verilora.kernels.lora.lora_config import LoraConfig
from verilora.kernels.lora.lora_step import LoraStep
from verilora.kernels.lora.page_layout import PageLayout

MEMORY = AdapterMemory(
    pool=torch.zeros(2, 8192, dtype=torch.uint8),
    page_table=torch.zeros(1, 2, dtype=torch.int32),
    pages=PageLayout(page_bytes=8192),
    max_rank=8,
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
        ({"phase": "train"}, "phase, got 'train'"),
    ],
)
def test_other_steps_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(STEP, **change)


@pytest.mark.parametrize(
    ("names", "widths", "message"),
    [
        (("q", "v"), (8, 8), r"projections, got \('q', 'v'\)"),
        ((), (), r"projections, got \(\)"),
        (("q", "k", "v", "o"), (8, 8, 8, 8), "projections, got"),
        (("router",), (8,), "projections, got"),
        (("q", "k"), (8,), r"widths, got \(8,\)"),
        (("q",), (0,), r"widths, got \(0,\)"),
    ],
)
def test_other_projections_are_refused(names: tuple[str, ...], widths: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FusedProjections(names, widths)


@pytest.mark.parametrize("change", [{"prefill_block": 48}, {"decode_splits": 0}, {"expand_prefill_stages": 0}], ids=str)
def test_other_configurations_are_refused(change: dict[str, int]) -> None:
    (name, value), *_ = change.items()
    with pytest.raises(ValueError, match=f"{name}, got {value}"):
        LoraConfig(**change)


def test_splits_follow_the_width() -> None:
    config = LoraConfig(shrink_decode_stages=3)
    assert [config.split_len(width, 256, "decode") for width in (600, 4096, 14336)] == [256, 256, 1024]
    assert config.split_len(600, 256, "prefill") == 2048
