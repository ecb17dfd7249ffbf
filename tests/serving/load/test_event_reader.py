from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verilora.serving.load.event_reader import MAX_EVENT_BYTES, EventReader

STREAM = b": a comment\n\ndata: one\n\nevent: x\r\ndata:two\r\ndata:  lines\r\n\r\nid: 3\n\ndata: \xc3\xa9\n\ndata: cut"
EVENTS = [b"one", b"two\n lines", "é".encode()]


@given(st.lists(st.integers(0, len(STREAM))))
def test_events_are_the_same_however_they_are_cut(places: list[int]) -> None:
    reader, found = EventReader(), []
    edges = [0, *sorted(places), len(STREAM)]
    for start, end in pairwise(edges):
        found += reader.feed(STREAM[start:end])
    assert found == EVENTS


@pytest.mark.parametrize("piece", [b"x" * 2**20, b"data: " + b"x" * 2**20 + b"\n"], ids=["line", "lines"])
def test_an_event_without_an_end_does_not_fill_memory(piece: bytes) -> None:
    reader = EventReader()
    for _ in range(3):
        assert reader.feed(piece) == []
    reader.feed(b"data: " + b"x" * (MAX_EVENT_BYTES - 3 * len(piece) - 6))
    with pytest.raises(ValueError, match="an event of more than"):
        reader.feed(piece)
