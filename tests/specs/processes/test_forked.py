import os
import signal
import subprocess
import sys

import pytest

from verilora.specs.files.errors import InputError
from verilora.specs.processes.forked import Forked, Unanswered, within


def busy() -> None:
    while True:
        pass


def test_returns_the_result_of_a_call_that_inherits_what_cannot_be_pickled() -> None:
    unpicklable = lambda number: number + 1  # noqa: E731
    assert within(60, lambda: unpicklable(1)) == 2


def test_raises_what_the_call_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 // 0)


def test_an_error_of_unusable_input_comes_as_it_was_raised() -> None:
    def refuse() -> None:
        raise InputError("book.yaml", "got 1, expected 2", line=3, field="weights")

    with pytest.raises(InputError, match=r"^book\.yaml:3: weights: got 1, expected 2$"):
        within(60, refuse)


def test_ends_work_that_takes_too_long() -> None:
    with pytest.raises(Unanswered, match=r"no result within 0\.05 s"):
        within(0.05, busy)


def test_a_child_that_dies_counts_as_over_its_limit() -> None:
    with pytest.raises(Unanswered, match="ended without a result"):
        within(60, lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_no_child_is_left_behind() -> None:
    child = Forked(busy)
    child.end()
    assert not child._child.is_alive()


def test_an_interrupt_while_a_child_is_forked_is_not_lost() -> None:
    script = """
import os, signal
from verilora.specs.processes.forked import within
signal.signal(signal.SIGINT, signal.default_int_handler)
os.register_at_fork(before=lambda: os.kill(os.getpid(), signal.SIGINT))
try:
    within(60, int)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
