import pytest

from verilora.serving.load.attempt import Attempt, Failed
from verilora.serving.load.objective import Objective
from verilora.serving.load.workload.plan import PlannedRequest

PLANNED = PlannedRequest(number=0, at=0.0, model="a", prompt="x", input_len=1, output_len=3)


def attempt(*times: float, has_succeeded: bool = True) -> Attempt:
    failure = None if has_succeeded else Failed("cut off", "")
    return Attempt(
        planned=PLANNED, due=0.0, sent=0.0, token_times=[*times], has_succeeded=has_succeeded, failure=failure
    )


@pytest.mark.parametrize(
    ("limits", "is_met"),
    [
        ("ttft:500", True),
        ("ttft:499", False),
        ("tpot:250", True),
        ("tpot:249", False),
        ("e2e:1000", True),
        ("e2e:999", False),
        ("ttft:500 tpot:249", False),
        ("ttft:500 tpot:250 e2e:1000", True),
    ],
)
def test_limits(limits: str, is_met: bool) -> None:
    objective = Objective.parse([limits])
    assert objective
    assert objective.is_met_by(attempt(0.5, 0.75, 1.0)) == is_met
    assert not objective.is_met_by(attempt(0.5, 0.75, 1.0, has_succeeded=False))


def test_a_single_token_has_no_time_a_token() -> None:
    assert Objective(tpot=1e-9).is_met_by(attempt(0.5))


def test_texts() -> None:
    assert Objective.parse([]) is None
    assert (
        Objective.parse(["ttft:500 tpot:50"])
        == Objective.parse(["tpot:50", "ttft:500"])
        == Objective(ttft=500, tpot=50)
    )


@pytest.mark.parametrize(
    "text", ["ttft", "ttft:", "ttft:x", "ttft:-1", "ttft:nan", "ttft:inf", "itl:5", "ttft:1 ttft:2"]
)
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(ValueError, match="expected ttft, tpot, e2e"):
        Objective.parse([text])
