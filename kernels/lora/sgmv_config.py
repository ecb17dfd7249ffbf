"""How SGMV cuts its work and what its programs are given."""

from dataclasses import dataclass, fields
from typing import Literal

import triton

from .lora_batch import PREFILL_BLOCK

Phase = Literal["prefill", "decode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SgmvConfig:
    """What was found fastest; see `benchmarks/results/kernels-lab-book.md`.

    The wide dimension is cut into splits, whose products are summed apart. They shape the result's bits, so they follow
    the width alone, never the batch. In prefill a split is `prefill_split` long and read `prefill_step` numbers at a
    time, by chunks of `prefill_block` rows, for which the items must have been made. `is_early` lets expand of decode
    begin while shrink still runs, and `is_shrink_early` shrink while what precedes it does, where the GPU can.
    """

    decode_splits: int = 16
    decode_shortest: int = 256
    prefill_split: int = 2048
    prefill_step: int = 128
    prefill_block: int = PREFILL_BLOCK
    is_early: bool = True
    is_shrink_early: bool = True
    shrink_decode_warps: int = 4
    shrink_decode_stages: int = 2
    expand_decode_warps: int = 1
    expand_decode_stages: int = 1
    shrink_prefill_rows: int = 64
    shrink_prefill_warps: int = 8
    shrink_prefill_stages: int = 3
    expand_prefill_warps: int = 8
    expand_prefill_stages: int = 1

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if not field.name.startswith("is_")):
            value = getattr(self, name)
            if value < 1 or (value & (value - 1) and not name.endswith("stages")):
                raise ValueError(f"{name}, got {value}, expected a power of two, or any number of stages")

    def split_len(self, width: int, tile_width: int, phase: Phase) -> int:
        """Return how many numbers of the wide dimension are summed at a time."""
        if phase == "prefill":
            return self.prefill_split
        return max(
            self.decode_shortest, tile_width, int(triton.next_power_of_2(triton.cdiv(width, self.decode_splits)))
        )


LORA_CONFIG = SgmvConfig()
