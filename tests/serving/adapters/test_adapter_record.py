from dataclasses import FrozenInstanceError
from datetime import UTC, datetime

import pytest

from verilora.serving.adapters.adapter_record import AdapterRecord, AdapterState


def test_a_record_is_a_value() -> None:
    record = AdapterRecord(
        name="fleet",
        version=1,
        digest="0" * 64,
        rank=8,
        num_bytes=10,
        state=AdapterState.ACTIVE,
        created_at=datetime.now(UTC),
    )
    with pytest.raises(FrozenInstanceError):
        record.version = 2  # type: ignore[misc]
    assert AdapterState("active") is record.state
