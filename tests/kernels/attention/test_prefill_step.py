"""Steps of prefill attention that do not fit together are refused; those of scores stand with them."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from verilora.kernels.attention.prefill_step import PrefillStep


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"starts": torch.zeros(1).int().expand(3)}, "starts, got"),
        ({"starts": torch.zeros(3).long()}, "starts, got torch.int64"),
        ({"starts": torch.zeros(0).int()}, r"starts, got torch.int32 \(0,\)"),
        ({"window": -1}, "window, got -1"),
        ({"prefix_lens": torch.zeros(3).int()}, "table and prefix_lens, got"),
        ({"prefix_lens": None}, "table and prefix_lens, got one"),
        ({"table": None}, "table and prefix_lens, got one"),
    ],
)
def test_a_step_that_does_not_fit_together_is_refused(change: dict[str, Any], message: str) -> None:
    prefixes = {"table": torch.zeros(2, 3).int(), "prefix_lens": torch.zeros(2).int()}
    step = PrefillStep(starts=torch.arange(3).int(), max_len=1, scale=1.0, **prefixes)
    assert step.num_rows == 2
    with pytest.raises(ValueError, match=message):
        replace(step, **change)
