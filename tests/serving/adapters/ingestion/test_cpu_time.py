import re
import signal

import pytest

from verilora.serving.adapters.ingestion.cpu_time import TooMuchTime, at_most

NEVER_ENDS = "(a*)*b"


def test_a_regular_expression_that_never_ends_is_stopped() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    with pytest.raises(TooMuchTime), at_most(0.05):
        re.fullmatch(NEVER_ENDS, "a" * 64)
    assert signal.getsignal(signal.SIGVTALRM) is before
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0


def test_what_takes_less_is_left_alone() -> None:
    with at_most(30):
        assert re.fullmatch("a*", "a" * 64)
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0
