"""Reasons against all sets of marks that a run inside a component can take for ever."""

from itertools import chain, combinations

from hypothesis import given
from hypothesis import strategies as st

from verilora.specs.logic import spot
from verilora.verify.checking.reason import least_reason

NUM_MARKS = 4
leaves = st.builds("{}({})".format, st.sampled_from(["Inf", "Fin"]), st.integers(0, NUM_MARKS - 1))
codes = st.recursive(
    leaves | st.sampled_from("tf"),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("&|"), inner),
    max_leaves=6,
)


@given(codes, st.frozensets(st.integers(0, NUM_MARKS - 1)))
def test_whoever_takes_a_reason_for_ever_is_accepted_or_rejected_as_the_component_is(
    text: str, marks: frozenset[int]
) -> None:
    code = spot.acc_code(text)
    accepts = code.accepting(spot.mark_t(sorted(marks)))
    reason = least_reason(code, sorted(marks), accepts=accepts)
    assert {*reason} <= marks
    others = sorted(marks - {*reason})
    for more in chain.from_iterable(combinations(others, size) for size in range(len(others) + 1)):
        assert code.accepting(spot.mark_t([*reason, *more])) == accepts


def test_no_mark_is_needed_where_what_must_recur_is_missing() -> None:
    assert least_reason(spot.acc_code("Inf(0)"), [1], accepts=False) == []
    assert least_reason(spot.acc_code("Fin(1) | Inf(0)"), [1, 2], accepts=False) == [1]
    assert least_reason(spot.acc_code("Inf(0) & Inf(1)"), [0, 1, 2], accepts=True) == [0, 1]
