import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.specs.domain import Domain
from verilora.specs.logic import Formula
from verilora.verify.checking.compiled import Compiler
from verilora.verify.checking.trace import TraceChecker, TraceStatus

from models import ACTIONS, PROPOSITIONS, formulas
from oracle import all_letters, is_bad_prefix

KEPT, PENDING, VIOLATED = TraceStatus.KEPT, TraceStatus.PENDING, TraceStatus.VIOLATED
traces = st.lists(st.sampled_from(all_letters((*PROPOSITIONS, *ACTIONS))), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("formula", "trace", "status"),
    [
        ("G(p -> F rest)", ["p"], PENDING),
        ("G(p -> F rest)", ["p", "rest"], KEPT),
        ("G(p -> F rest)", ["p rest", "p"], PENDING),
        ("G(p -> !rest)", ["p"], KEPT),
        ("G(p -> !rest)", ["p rest", "p"], VIOLATED),
        ("F go", ["p"], PENDING),
        ("F go", ["go", ""], KEPT),
        ("F p -> F go", ["q"], KEPT),
        ("F p -> F go", ["p", "q"], PENDING),
        ("rest U go", ["rest", "rest"], PENDING),
        ("rest U go", ["rest", "back"], VIOLATED),
        ("G(p -> X q)", ["p"], KEPT),
        ("G(p -> X q)", ["p", "p"], VIOLATED),
    ],
)
def test_kept_pending_violated(formula: str, trace: list[str], status: TraceStatus) -> None:
    checker = TraceChecker({"rule": Formula(formula)}, Compiler())
    assert checker.statuses([frozenset(letter.split()) for letter in trace]) == {"rule": status}


@settings(max_examples=25)
@given(formulas(), traces)
def test_violated_means_that_nothing_can_mend_it(formula: Formula, trace: list[frozenset[str]]) -> None:
    status = TraceChecker({"rule": formula}, Compiler()).statuses(trace)["rule"]
    assert (status is VIOLATED) == is_bad_prefix(formula, trace)


def test_liveness_is_pending_where_a_plain_reading_would_call_it_violated(driving: Domain) -> None:
    rules = {rule.id: rule.formula for rule in driving.rulebook().rules}
    trace = [frozenset({"green_traffic_light", "go_straight"}), frozenset({"pedestrian_at_left", "go_straight"})]
    statuses = TraceChecker(rules, Compiler()).statuses(trace)
    assert {name for name, status in statuses.items() if status is PENDING} == {"phi1", "phi8"}
    assert {name for name, status in statuses.items() if status is VIOLATED} == {"phi3"}


def test_an_empty_trace_is_an_error() -> None:
    with pytest.raises(ValueError, match="got an empty trace"):
        TraceChecker({}, Compiler()).statuses([])
