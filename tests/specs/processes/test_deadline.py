import math
import time

import pytest

from verilora.specs.processes.deadline import Deadline
from verilora.specs.processes.forked import Unanswered


def test_a_deadline_passes_and_says_how_long_it_was() -> None:
    deadline = Deadline(0.05)
    deadline.check()
    time.sleep(0.06)
    assert deadline.left < 0
    with pytest.raises(Unanswered, match=r"at the deadline of 0\.05 s"):
        deadline.check()


def test_without_seconds_it_never_comes() -> None:
    deadline = Deadline()
    deadline.check()
    assert deadline.left == math.inf
