import pytest

from verilora.synth.models.repair_feedback import MAX_MOMENTS, feedback_text, rule_broken, unreadable


def test_a_counterexample_is_told_in_one_line() -> None:
    moments = [(["dry soil", "frost"], "hold"), ([], "heat")]
    assert feedback_text(rule_broken("Never heat\n while it is warm"), moments) == (
        "This breaks the rule: Never heat while it is warm. "
        "Counterexample: dry soil, frost: hold; nothing: heat. Write the steps again."
    )


def test_what_cannot_be_read_has_no_counterexample() -> None:
    text = feedback_text(unreadable("got 0 lines, expected 2 to 8 numbered steps"))
    assert text == "This cannot be read: got 0 lines, expected 2 to 8 numbered steps. Write the steps again."


def test_too_many_moments() -> None:
    with pytest.raises(ValueError, match="expected at most 6 moments, got 7"):
        feedback_text(rule_broken("No."), [([], "hold")] * (MAX_MOMENTS + 1))
