"""A step of decode attention that does not fit together is refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from verilora.kernels.attention.decode_step import DecodeStep


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lens": torch.ones(3).int()}, "table and lens, got"),
        ({"lens": torch.ones(2).long()}, r"lens, got torch.int32 \(2, 3\) and torch.int64"),
        ({"table": torch.zeros(3, 2).int().T}, "table and lens, got"),
        ({"table": torch.zeros(2).int()}, "table and lens, got"),
        ({"split_len": 100}, "split_len, got 100"),
        ({"split_len": 0}, "split_len, got 0"),
        ({"window": -1}, "window, got -1"),
        ({"window": 5}, "window, got 5, expected 0 for rows with rings"),
        ({"ring_lens": None}, "ring_table and ring_lens, got one"),
        ({"ring_table": torch.zeros(2, 2).int()[:, 0]}, "ring_table, got strides"),
        ({"ring_lens": torch.ones(3).int()}, "table and ring_lens, got"),
    ],
)
def test_a_step_that_does_not_fit_together_is_refused(change: dict[str, Any], message: str) -> None:
    row = torch.ones(2).int()
    step = DecodeStep(table=torch.zeros(2, 3).int(), lens=row, scale=1.0, ring_table=row, ring_lens=row)
    assert step.num_rows == 2
    with pytest.raises(ValueError, match=message):
        replace(step, **change)
