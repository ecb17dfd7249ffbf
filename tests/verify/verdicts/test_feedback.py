import pytest

from verilora.specs.domain import Domain
from verilora.verify.records.verdict import Moment, Witness
from verilora.verify.verdicts.feedback import feedback_of, in_short
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier

from controllers import YIELDING

TASK = "right-at-traffic-light"


def told(domain: Domain, text: str, *, witnesses: bool = True) -> str | None:
    book = domain.rulebook()
    verdict = Verifier(domain, book, Settings(witnesses=witnesses)).verify_text(text, domain.task(TASK))
    return feedback_of(verdict, domain, book)


def test_nothing_is_said_about_steps_that_keep_everything(driving: Domain) -> None:
    assert told(driving, YIELDING) is None


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param(
            "1. turn left\n2. go home",
            "This cannot be read: step 2: unknown action: got 'go home', expected one of go straight, stop, turn left, "
            "turn right. Write the steps again.",
            id="invalid",
        ),
        pytest.param(
            "1. stop\n2. turn left\n3. turn right",
            "This does not reach its goal. Counterexample: nothing: stop; nothing: turn left. Write the steps again.",
            id="another movement first",
        ),
        pytest.param(
            "1. turn right\n2. stop\n3. turn left",
            "This does not reach its goal. Counterexample: nothing: turn right; nothing: stop; nothing: turn left. "
            "Write the steps again.",
            id="another movement afterwards",
        ),
        pytest.param(
            "1. wait until no car from left and no pedestrian at right then turn right\n2. go to step 3\n"
            "3. wait until stop sign",
            "This stands idle for ever. Counterexample: ",
            id="stands still",
        ),
        pytest.param(
            "1. turn right\n2. stop",
            "This breaks the rule: The car never turns right while a car comes from the left or a pedestrian is at the "
            "right. Counterexample: car from left: turn right. Write the steps again.",
            id="rule",
        ),
        pytest.param(
            "1. wait until no car from left and no pedestrian at right and opposite car and car from right "
            "and pedestrian at left and pedestrian in front, then turn right\n2. stop",
            "This waits for what hardly ever comes. Write the steps again.",
            id="hardly ever",
        ),
    ],
)
def test_the_first_broken_thing_is_told(driving: Domain, steps: str, expected: str) -> None:
    text = told(driving, steps)
    assert text is not None
    assert text.startswith(expected)


def test_a_goal_that_is_never_reached_is_told_by_its_cycle(driving: Domain) -> None:
    text = told(driving, "1. stop\n2. stop")
    assert text is not None
    told_moments = text.partition("Counterexample: ")[2].removesuffix(". Write the steps again.").split("; ")
    assert 0 < len(told_moments) <= 6
    assert all(moment.endswith(": stop") for moment in told_moments)


def test_without_witnesses_the_rule_alone_is_told(driving: Domain) -> None:
    text = told(driving, "1. turn right\n2. stop", witnesses=False)
    assert text is not None
    assert text.endswith("is at the right. Write the steps again.")


@pytest.mark.parametrize(
    ("num_moments", "is_cycle", "expected"),
    [
        (1, False, "car from left: turn right"),
        (2, False, "car from left: turn right; then car from left: turn right"),
        (7, False, "…; " + "; then ".join(["car from left: turn right"] * 6)),
        (1, True, "again and again, car from left: turn right"),
        (7, True, "again and again, " + "; then ".join(["car from left: turn right"] * 6) + "; …"),
    ],
)
def test_a_witness_in_short_says_where_instants_are_left_out(
    driving: Domain, num_moments: int, is_cycle: bool, expected: str
) -> None:
    moments = (Moment(propositions=("car_from_left",), state="", steps=(1,), action="turn_right"),) * num_moments
    witness = Witness(prefix=() if is_cycle else moments, cycle=moments if is_cycle else ())
    assert in_short(witness, driving.vocabulary) == expected
    assert in_short(None, driving.vocabulary) == ""
