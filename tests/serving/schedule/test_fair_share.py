"""The virtual token counter (Sheng et al., OSDI 2024): what its theorems promise, served token by token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verilora.serving.schedule.fair_share import INPUT_COST, OUTPUT_COST, FairShare

TENANTS = ("a", "b", "c")


def share_with(*tenants: str, weights: dict[str, float] | None = None) -> FairShare:
    """Return a share in which these wait, who came in this order."""
    share = FairShare(weights)
    for tenant in tenants:
        share.arrive(tenant)
    return share


def test_a_counter_weighs_prompts_and_draws() -> None:
    share = share_with("a", "b", weights={"b": 4.0})
    for tenant in "ab":
        share.charge(tenant, num_input=10, num_output=3)
    assert share.served("a") == 10 * INPUT_COST + 3 * OUTPUT_COST
    assert share.served("b") == share.served("a") / 4
    assert share.served("nobody") == 0
    assert [*share.first()] == ["b", "a"]


def test_equals_go_in_the_order_they_arrived() -> None:
    share = share_with("b", "a", "c")
    assert [*share.first()] == [*share.first()] == ["b", "a", "c"]
    for tenant in "bac":
        share.charge(tenant, num_input=2)
    assert [*share.first()] == ["b", "a", "c"], "and after they were served the same"


def test_one_that_left_is_not_named_and_one_that_comes_back_is_named_once() -> None:
    share = share_with("a", "b", "c")
    share.leave("a")
    share.leave("b")
    assert [*share.first()] == ["c"]
    share.arrive("b")
    assert sorted(share.first()) == ["b", "c"]
    assert next(share.first()) == "c", "it waits for longer"


def test_after_a_reset_nobody_waits_and_what_was_served_stays() -> None:
    share = share_with("a", "b")
    share.charge("a", num_input=9)
    share.reset()
    assert [*share.first()] == []
    share.arrive("a")
    share.arrive("b")
    assert (share.served("a"), [*share.first()]) == (9, ["a", "b"])


def test_nobody_saves_up_service() -> None:
    share = share_with("a", "b")
    share.charge("a", num_input=100)
    share.charge("b", num_input=40)
    share.arrive("c")
    assert share.served("c") == 40
    share.leave("a")
    share.arrive("a")
    assert share.served("a") == 100, "what was had is not forgotten"


def test_nobody_saves_up_service_while_all_are_away() -> None:
    """With nobody there, one that comes is lifted to the last that waited (algorithm 2, line 9)."""
    share = share_with("b", "a")
    share.charge("b", num_input=500)
    share.charge("a", num_input=100)
    share.leave("b")
    share.leave("a")
    share.arrive("c")
    assert share.served("c") == 100
    share.arrive("a")
    assert share.served("a") == 100


def test_one_that_is_alone_is_not_lifted_by_itself() -> None:
    share = share_with("a")
    share.charge("a", num_input=7)
    share.leave("a")
    share.arrive("a")
    assert share.served("a") == 7


@given(
    jobs=st.lists(st.tuples(st.sampled_from(TENANTS), st.integers(1, 50), st.integers(1, 20)), max_size=60),
    weights=st.fixed_dictionaries({tenant: st.sampled_from([0.5, 1.0, 3.0]) for tenant in TENANTS}),
)
def test_backlogged_tenants_get_service_by_their_weights(
    jobs: list[tuple[str, int, int]], weights: dict[str, float]
) -> None:
    """Theorem 4.4: while two have something waiting, their counters differ by one request at most."""
    queues = {tenant: [job[1:] for job in jobs if job[0] == tenant] for tenant in TENANTS}
    largest = max((INPUT_COST * i + OUTPUT_COST * o for _, i, o in jobs), default=0) / min(weights.values())
    share = share_with(*(tenant for tenant in TENANTS if queues[tenant]), weights=weights)
    while len(waiting := [*share.first()]) > 1:
        assert [share.served(tenant) for tenant in waiting] == sorted(share.served(tenant) for tenant in waiting)
        tenant = waiting[0]
        num_input, num_output = queues[tenant].pop()
        share.charge(tenant, num_input=num_input, num_output=num_output)
        counters = [share.served(other) for other in waiting]
        assert max(counters) - min(counters) <= largest + 1e-9
        if not queues[tenant]:
            share.leave(tenant)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=60))
def test_one_that_comes_and_goes_gets_no_more_than_one_that_stays(steps: list[tuple[bool, int]]) -> None:
    """Theorem 4.8: from when it comes back until it goes, a guest is at most one request ahead of who waits always."""
    share = share_with("stays")
    is_here = False
    since = {"stays": 0.0, "guest": 0.0}
    for wants, num_input in steps:
        if wants and not is_here:
            share.arrive("guest")
            since = {tenant: share.served(tenant) for tenant in since}
        elif is_here and not wants:
            share.leave("guest")
        is_here = wants
        tenant = next(share.first())
        share.charge(tenant, num_input=num_input)
        gained = {tenant: share.served(tenant) - since[tenant] for tenant in since}
        if is_here:
            assert gained["guest"] <= gained["stays"] + 30


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_a_weight_that_makes_no_sense(weight: float) -> None:
    with pytest.raises(ValueError, match=r"weight of 'a', got .*, expected a number over 0"):
        FairShare({"a": weight})
