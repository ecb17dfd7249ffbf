"""A limit of the CPU time that something takes in this thread, such as a stranger's regular expression."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TooMuchTime(Exception):
    """It took more CPU time than it may."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TooMuchTime in the block once it has taken so much CPU time; works in the main thread alone."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TooMuchTime

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
