"""From which rows victims are chosen, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from verilora.kernels.cache.eviction_step import MAX_SLOTS, EvictionRule, EvictionStep
from verilora.kernels.cache.kv_pages import PAGE_SIZE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": torch.zeros(2, 3)}, "table, got torch.float32"),
        ({"table": torch.zeros(2, 3).int().T}, "table, got"),
        ({"table": torch.zeros(2, MAX_SLOTS // PAGE_SIZE + 1).int()}, f"got {MAX_SLOTS + PAGE_SIZE} slots"),
        ({"lens": torch.zeros(3).int()}, r"lens, got torch.int32 \(3,\)"),
        ({"seen": torch.zeros(1).int().expand(2)}, "seen, got"),
        ({"heavy": torch.zeros(2)}, "heavy, got torch.float32"),
        ({"recent": torch.zeros(2).long()}, "recent, got torch.int64"),
        ({"count": 0}, "count, got 0"),
    ],
)
def test_a_step_of_other_shapes_is_refused(change: dict[str, Any], message: str) -> None:
    row = {name: torch.zeros(2).int() for name in ("lens", "seen", "heavy", "recent")}
    step = EvictionStep(table=torch.zeros(2, 3).int(), rule=EvictionRule(), **row)
    assert (step.num_rows, step.num_slots) == (2, 3 * PAGE_SIZE)
    with pytest.raises(ValueError, match=message):
        replace(step, **change)


@pytest.mark.parametrize(
    ("parts", "message"), [({"alpha": 2.0}, "alpha, got 2"), ({"num_pinned": -1}, "num_pinned, got -1")], ids=str
)
def test_other_rules_are_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvictionRule(**parts)
