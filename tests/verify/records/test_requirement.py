import pytest

from verilora.verify.records.requirement import Requirement, parse_requirements


def test_a_split_may_stand_before_the_name() -> None:
    assert parse_requirements(["compliance=0.95", "test:phi5=1"]) == (
        Requirement("compliance", 0.95),
        Requirement("phi5", 1.0, "test"),
    )
    assert parse_requirements(None) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("compliance", "expected NAME=SHARE or SPLIT:NAME=SHARE, got 'compliance'"),
        ("compliance=much", "expected NAME=SHARE or SPLIT:NAME=SHARE, got 'compliance=much'"),
        ("compliance=95", "expected a share from 0 to 1, got 95.0 for compliance"),
        ("compliance=nan", "expected a share from 0 to 1, got nan for compliance"),
        ("exam:phi5=1", "expected one of the splits train, validation, test, got 'exam'"),
    ],
)
def test_what_cannot_be_required_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_requirements([text])
