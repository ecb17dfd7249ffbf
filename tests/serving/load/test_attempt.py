import pytest

from verilora.serving.load.attempt import Attempt
from verilora.serving.load.workload.plan import PlannedRequest

PLANNED = PlannedRequest(number=0, at=1.0, model="a", prompt="x", input_len=8, output_len=9)


def attempt(*times: float, completion_tokens: int | None = None) -> Attempt:
    return Attempt(planned=PLANNED, due=10.0, sent=10.5, token_times=[*times], completion_tokens=completion_tokens)


def test_times() -> None:
    found = attempt(11.0, 11.25, 12.5)
    assert (found.late, found.ttft, found.e2e, found.itls, found.tpot) == (0.5, 0.5, 2.0, [0.25, 1.25], 0.75)


def test_events_of_several_tokens_count_as_what_the_server_tells() -> None:
    found = attempt(11.0, 12.0, 13.0, completion_tokens=9)
    assert (found.num_output_tokens, found.tpot) == (9, 0.25)


@pytest.mark.parametrize("times", [(), (11.0,)])
def test_what_has_no_time(times: tuple[float, ...]) -> None:
    found = attempt(*times)
    assert (found.tpot, found.itls) == (None, [])
    assert (found.ttft is None) == (found.e2e is None) == (not times)
    assert (Attempt(planned=PLANNED, due=10.0).late, found.has_ended) == (None, False)
