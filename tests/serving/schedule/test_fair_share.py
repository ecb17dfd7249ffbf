"""The virtual token counter (Sheng et al., OSDI 2024): what its theorems promise, served token by token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verilora.serving.schedule.fair_share import INPUT_COST, OUTPUT_COST, FairShare

TENANTS = ("a", "b", "c")


def test_a_counter_weighs_prompts_and_draws() -> None:
    share = FairShare({"b": 4.0})
    for tenant in "ab":
        share.charge(tenant, num_input=10, num_output=3)
    assert share.served("a") == 10 * INPUT_COST + 3 * OUTPUT_COST
    assert share.served("b") == share.served("a") / 4
    assert share.served("nobody") == 0
    assert share.first("ab") == ["b", "a"]


def test_equals_go_in_the_order_they_are_given() -> None:
    assert FairShare().first(["b", "a", "c"]) == ["b", "a", "c"]


def test_nobody_saves_up_service() -> None:
    share = FairShare()
    share.charge("a", num_input=100)
    share.charge("b", num_input=40)
    share.arrive("c", ["a", "b"])
    assert share.served("c") == 40
    share.arrive("a", ["b", "c"])
    assert share.served("a") == 100, "what was had is not forgotten"


def test_nobody_saves_up_service_while_all_are_away() -> None:
    """With nobody there, one that comes is lifted to the last that was served (algorithm 2, line 9)."""
    share = FairShare()
    share.charge("b", num_input=500)
    share.charge("a", num_input=100)
    share.arrive("c", [])
    assert share.served("c") == 100
    share.arrive("a", ["c"])
    assert share.first("ac") == ["a", "c"]


def test_one_that_never_went_away_is_not_lifted_to_itself() -> None:
    share = FairShare()
    share.charge("a", num_input=7)
    share.arrive("a", ["a"])
    assert share.served("a") == 7


@given(
    jobs=st.lists(st.tuples(st.sampled_from(TENANTS), st.integers(1, 50), st.integers(1, 20)), max_size=60),
    weights=st.fixed_dictionaries({tenant: st.sampled_from([0.5, 1.0, 3.0]) for tenant in TENANTS}),
)
def test_backlogged_tenants_get_service_by_their_weights(
    jobs: list[tuple[str, int, int]], weights: dict[str, float]
) -> None:
    """Theorem 4.4: while two have something waiting, their counters differ by one request at most."""
    share = FairShare(weights)
    queues = {tenant: [job[1:] for job in jobs if job[0] == tenant] for tenant in TENANTS}
    largest = max((INPUT_COST * i + OUTPUT_COST * o for _, i, o in jobs), default=0) / min(weights.values())
    waiting = [tenant for tenant in TENANTS if queues[tenant]]
    for tenant in waiting:
        share.arrive(tenant, [])
    while len(waiting) > 1:
        tenant = share.first(waiting)[0]
        num_input, num_output = queues[tenant].pop()
        share.charge(tenant, num_input=num_input, num_output=num_output)
        counters = [share.served(other) for other in waiting]
        assert max(counters) - min(counters) <= largest + 1e-9
        waiting = [tenant for tenant in waiting if queues[tenant]]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=60))
def test_one_that_comes_and_goes_gets_no_more_than_one_that_stays(steps: list[tuple[bool, int]]) -> None:
    """Theorem 4.8: from when it comes back until it goes, a guest is at most one request ahead of who waits always."""
    share = FairShare()
    share.arrive("stays", [])
    is_here = False
    since = {"stays": 0.0, "guest": 0.0}
    for wants, num_input in steps:
        if wants and not is_here:
            share.arrive("guest", ["stays"])
            since = {tenant: share.served(tenant) for tenant in since}
        is_here = wants
        tenant = share.first(["stays", "guest"] if is_here else ["stays"])[0]
        share.charge(tenant, num_input=num_input)
        gained = {tenant: share.served(tenant) - since[tenant] for tenant in since}
        if is_here:
            assert gained["guest"] <= gained["stays"] + 30


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_a_weight_that_makes_no_sense(weight: float) -> None:
    with pytest.raises(ValueError, match=r"weight of 'a', got .*, expected a number over 0"):
        FairShare({"a": weight})
