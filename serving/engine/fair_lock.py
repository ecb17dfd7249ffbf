"""A lock that is given to those who wait for it before the one who let go of it gets it again."""

from threading import Lock, RLock, get_ident
from types import TracebackType


class FairLock:
    """A reentrant lock for a loop that takes it again and again, and for callers that want it in between.

    Who wants the lock holds the turnstile while it waits, so the loop stops at the turnstile until the caller had its
    turn.
    """

    def __init__(self) -> None:
        self._turnstile = Lock()
        self._lock = RLock()
        self._owner = 0
        self._depth = 0

    def __enter__(self) -> None:
        if self._owner == get_ident():
            self._lock.acquire()
        else:
            with self._turnstile:
                self._lock.acquire()
            self._owner = get_ident()
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = 0
        self._lock.release()
