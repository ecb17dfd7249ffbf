"""A lock that whoever waits gets before the thread that had it last."""

from threading import Lock, RLock, get_ident


class Turns:
    """A lock for `with`, which its owner may take again.

    A plain lock goes to whoever asks while it is free. That is the thread of the steps, which asks again at once, and
    others would wait for many steps. Here one of those who wait stands in the door, and nobody passes it.
    """

    def __init__(self) -> None:
        self._door = Lock()
        self._lock = RLock()
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        if self._owner != get_ident():
            with self._door:
                self._lock.acquire()
            self._owner = get_ident()
        self._depth += 1

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
            self._lock.release()
