"""A Ctrl-C that is heeded in the end, whatever runs when it comes."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN = 0.02
_IMPORTING = "<frozen importlib._bootstrap>"


@contextmanager
def heeded_interrupts() -> Iterator[None]:
    """Let a Ctrl-C that comes during an import wait until its end, and raise KeyboardInterrupt then.

    What is imported may swallow the exception, or stay behind half made; compiled modules do both. A timer asks again
    until no import is on the stack. Nothing changes where a Ctrl-C is ignored or somebody else's, as in a program that
    calls a command, and outside of the main thread, which alone can ask.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    alarm = signal.signal(signal.SIGALRM, _heed)
    signal.signal(signal.SIGINT, _heed)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        waits, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)
        if waits:
            raise KeyboardInterrupt


def _heed(_signal: int, frame: FrameType | None) -> None:
    if _is_swallowed(frame):
        # A timer of the system: starting a thread here could wait for a lock that this thread holds.
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
    else:
        raise KeyboardInterrupt


def _is_swallowed(frame: FrameType | None) -> bool:
    """Return whether an exception would end in an import, or in a finaliser, from which Python drops it."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
