"""What SGMV needs that is the same for all layers and projections of a step."""

from dataclasses import dataclass, field

import torch

from .adapter_memory import AdapterMemory
from .lora_batch import ITEM_WIDTH
from .sgmv_config import LORA_CONFIG, Phase, SgmvConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraStep:
    """The rows of one phase and the adapters that they take; tensors are held, never copied, so graphs see changes.

    items   int32 [num_items, ITEM_WIDTH] of `lora_batch`
    memory  where the adapters lie
    phase   in "decode" an item is one row, in "prefill" a chunk of up to `config.prefill_block`
    """

    items: torch.Tensor
    memory: AdapterMemory
    phase: Phase
    config: SgmvConfig = LORA_CONFIG
    # Whether expand starts while shrink still runs.
    starts_early: bool = field(init=False)

    def __post_init__(self) -> None:
        items = self.items
        if items.dtype != torch.int32 or items.shape[1:] != (ITEM_WIDTH,) or not items.is_contiguous():
            raise ValueError(
                f"items, got {items.dtype} {tuple(items.shape)}, expected contiguous int32 [num_items, {ITEM_WIDTH}]"
            )
        if items.device != self.memory.pool.device:
            raise ValueError(f"items, got them on {items.device}, expected {self.memory.pool.device} of the memory")
        if self.phase not in ("prefill", "decode"):
            raise ValueError(f"phase, got {self.phase!r}, expected 'prefill' or 'decode'")
        is_early = self.phase == "decode" and self.config.is_early and can_start_early(items.device)
        object.__setattr__(self, "starts_early", is_early)


def can_start_early(device: torch.device) -> bool:
    """Return whether a kernel may start while the one before it runs (sm_90 and later)."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)
