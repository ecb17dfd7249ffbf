"""Deadlines: as a list that is gone through would find them, and with no more kept than waits."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from verilora.serving.schedule.deadlines import LEAST_CLEARED, Deadlines

MOMENTS = st.integers(0, 20)


def sequence(number: int, arrival: float, deadline: float | None, num_produced: int = 0) -> Any:
    return SimpleNamespace(
        id=number, arrival=arrival, num_produced=num_produced, request=SimpleNamespace(deadline=deadline)
    )


@given(st.lists(st.tuples(MOMENTS, st.one_of(st.none(), MOMENTS), st.booleans(), st.booleans()), max_size=40), MOMENTS)
def test_those_that_are_late_are_found_once(rows: list[tuple[int, int | None, bool, bool]], moment: int) -> None:
    deadlines, late = Deadlines(), set()
    for number, (arrival, deadline, leaves, comes_back) in enumerate(rows):
        one = sequence(number, arrival, deadline)
        deadlines.add(one)
        if leaves:
            deadlines.discard(one)
        if leaves and comes_back:
            deadlines.add(one)
        if deadline is not None and arrival + deadline < moment and (comes_back or not leaves):
            late.add(number)
    found = deadlines.before(moment)
    assert sorted(one.id for one in found) == sorted(late)
    assert deadlines.before(moment) == []


def test_one_that_has_a_token_is_in_time() -> None:
    deadlines = Deadlines()
    deadlines.add(sequence(0, 0.0, 1.0, num_produced=1))
    assert deadlines.before(5.0) == []


def test_nothing_is_kept_of_those_that_wait_no_more() -> None:
    deadlines = Deadlines()
    for number in range(10_000):
        one = sequence(number, number, 1e9)
        deadlines.add(one)
        deadlines.discard(one)
    assert len(deadlines._heap) <= LEAST_CLEARED
    assert not deadlines._waiting
