"""Moves that do not fit together are refused."""

from typing import Any

import pytest
import torch

from verilora.kernels.cache.token_moves import TokenMoves

SLOTS = torch.zeros(9, 3).int()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"error_ranges": torch.zeros(1, 4)}, r"error_ranges, got \(1, 4\)"),
        ({"error_ranges": torch.zeros(2, 3)}, r"error_ranges, got \(2, 3\)"),
        ({"error_ranges": torch.zeros(1, 4).expand(2, 4)}, "error_ranges, got"),
        ({"entries_per_range": 0}, "entries_per_range, got 0"),
        ({"target_slots": SLOTS[:8]}, r"slots, got \(9, 3\) and \(8, 3\)"),
        ({"source_slots": SLOTS[:, 0], "target_slots": SLOTS[:, 0]}, r"slots, got \(9,\)"),
    ],
)
def test_moves_of_other_shapes_are_refused(change: dict[str, Any], message: str) -> None:
    fitting = {"source_slots": SLOTS, "target_slots": SLOTS, "error_ranges": torch.zeros(2, 4), "entries_per_range": 5}
    TokenMoves(**fitting)
    with pytest.raises(ValueError, match=message):
        TokenMoves(**{**fitting, **change})
