from typing import Any

import pytest

from verilora.serving.schedule.settings import EngineSettings

REFUSED: list[tuple[dict[str, Any], str]] = [
    *(
        ({name: 0}, f"{name}, got 0, expected at least 1")
        for name in ("memory_bytes", "max_rows", "token_budget", "chunk_len", "max_loaded", "host_bytes")
    ),
    ({"max_rows": 9, "token_budget": 8}, "token_budget, got 8, expected at least max_rows 9: one for each row"),
    ({"preemption": "drop"}, "preemption, got 'drop', expected 'swap' or 'recompute'"),
    ({"swap_bytes": -1}, "swap_bytes and max_adapters, got -1 and 0, expected 0 or more"),
    ({"max_adapters": -2}, "swap_bytes and max_adapters, got .* and -2, expected 0 or more"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        EngineSettings(**fields)


def test_what_is_at_the_edge_is_taken() -> None:
    EngineSettings(memory_bytes=1, max_rows=1, token_budget=1, chunk_len=1, max_loaded=1, host_bytes=1, swap_bytes=0)
    EngineSettings(max_rows=8, token_budget=8, preemption="recompute")
