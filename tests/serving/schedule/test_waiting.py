from itertools import count

import pytest

from verilora.serving.memory.adapter_store import Version
from verilora.serving.requests.request import Request
from verilora.serving.requests.sequence import Sequence
from verilora.serving.schedule.fair_share import FairShare
from verilora.serving.schedule.waiting import MAX_PASSED, Waiting

HOT, COLD = (Version(name, 1, None, None) for name in ("hot", "cold"))
IDS = count()


def sequence(tenant: str = "a", version: Version | None = None) -> Sequence:
    request = Request(prompt=(1,), tenant=tenant)
    return Sequence(
        id=next(IDS), request=request, candidate=0, version=version, arrival=0, tokens=[1], parts=[], limit=9
    )


def never(_: Sequence) -> bool:
    return False


def waiting_with(*sequences: Sequence, max_adapters: int = 0, share: FairShare | None = None) -> Waiting:
    waiting = Waiting(share or FairShare(), max_adapters)
    for one in sequences:
        waiting.append(one)
    return waiting


def drained(waiting: Waiting, in_use: tuple[Version, ...] = ()) -> list[Sequence]:
    found = []
    while (one := waiting.next(in_use, never)) is not None:
        waiting.remove(one)
        found.append(one)
    return found


def test_a_tenants_sequences_go_in_order() -> None:
    some = [sequence() for _ in range(4)]
    share = FairShare()
    waiting = waiting_with(*some, share=share)
    assert len(waiting) == 4
    assert [*share.first()] == ["a"]
    assert [*waiting] == some
    assert waiting.next((), never) is waiting.next((), never) is some[0], "it stays until it is removed"
    assert drained(waiting) == some
    assert (len(waiting), [*waiting], [*share.first()]) == (0, [], [])


def test_what_ran_before_is_its_tenants_first() -> None:
    first, second, back = (sequence() for _ in range(3))
    waiting = waiting_with(first, second)
    waiting.put_back(back)
    assert drained(waiting) == [back, first, second]


def test_the_least_served_tenant_is_next() -> None:
    share = FairShare()
    many, few = [sequence("many") for _ in range(3)], sequence("few")
    waiting = waiting_with(*many, few, share=share)
    assert [*share.first()] == ["many", "few"], "they came in this order"
    share.charge("many", num_input=5)
    assert waiting.next((), never) is few
    waiting.remove(few)
    assert [*share.first()] == ["many"]
    assert waiting.next((), never) is many[0]


def test_one_that_is_held_up_is_passed_over() -> None:
    held, free, other = sequence(), sequence(), sequence("b")
    waiting = waiting_with(held, free, other)
    assert waiting.next((), lambda one: one is held) is free
    assert waiting.next((), lambda one: one in (held, free)) is other
    assert waiting.next((), lambda one: True) is None


def test_in_a_batch_full_of_adapters_those_that_take_one_of_them_go_first() -> None:
    cold, hot = sequence(version=COLD), sequence(version=HOT)
    assert waiting_with(cold, hot, max_adapters=1).next((HOT,), never) is hot
    assert waiting_with(cold, hot, max_adapters=1).next((), never) is cold, "not full"
    assert waiting_with(cold, hot, max_adapters=0).next((HOT,), never) is cold, "no such rule"
    assert waiting_with(cold, max_adapters=1).next((HOT,), never) is cold, "none takes one of them"


def test_clustering_stays_within_a_tenant() -> None:
    """Fairness goes before clustering: what another tenant has in the batch is of no use to this one."""
    share = FairShare()
    cold, hot = sequence("few", COLD), sequence("many", HOT)
    waiting = waiting_with(hot, cold, max_adapters=1, share=share)
    share.charge("many", num_input=5)
    assert waiting.next((HOT,), never) is cold


def test_nobody_is_passed_over_for_ever() -> None:
    cold = sequence(version=COLD)
    waiting = waiting_with(cold, max_adapters=1)
    for number in range(MAX_PASSED + 1):
        hot = sequence(version=HOT)
        waiting.append(hot)
        found = waiting.next((HOT,), never)
        assert found is (cold if number == MAX_PASSED else hot)
        assert found is not None
        waiting.remove(found)


@pytest.mark.parametrize("version", [HOT, None])
def test_a_sequence_of_the_base_model_needs_no_adapter_more(version: Version | None) -> None:
    cold, first, hot = sequence(version=COLD), sequence(version=version), sequence(version=HOT)
    assert waiting_with(first, hot, max_adapters=1).next((HOT,), never) is first
    assert waiting_with(cold, first, hot, max_adapters=1).next((HOT,), never) is first
