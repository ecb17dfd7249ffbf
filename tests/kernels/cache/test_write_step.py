"""Where new tokens go, and what of it is refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from verilora.kernels.cache.write_step import WriteStep


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slots": torch.zeros(7)}, "slots, got torch.float32"),
        ({"slots": torch.zeros(7, 3, 1).int()}, r"slots, got torch.int32 \(7, 3, 1\)"),
        ({"positions": torch.arange(6).int()}, r"positions, got torch.int32 \(6,\)"),
        ({"positions": torch.arange(7)}, "positions, got torch.int64"),
        ({"positions": torch.arange(14).int()[::2]}, "positions, got"),
        ({"error_bits": 3}, "error_bits, got 3"),
    ],
)
def test_a_step_of_other_shapes_is_refused(change: dict[str, Any], message: str) -> None:
    step = WriteStep(slots=torch.arange(7), positions=torch.arange(7).int())
    assert step.num_tokens == 7
    with pytest.raises(ValueError, match=message):
        replace(step, **change)
