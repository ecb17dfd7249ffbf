"""Work in a forked child process, which inherits everything and gives back one picklable result.

Automata cannot be pickled, and Spot's algorithms cannot be interrupted from Python; a child needs no pickled input
and can be killed.
"""

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Generic, ParamSpec, TypeVar, cast

from .workers import interrupts_held

_FORK = multiprocessing.get_context("fork")
MAX_SECONDS = 86_400
P = ParamSpec("P")
R = TypeVar("R")


class Unanswered(Exception):
    """The work has no result: it took too long, or went beyond what Spot or the machine can do."""


class Forked(Generic[R]):
    """A call that runs in a child process from now on."""

    def __init__(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> None:
        self._receiver, sender = _FORK.Pipe(duplex=False)
        self._child = _FORK.Process(target=_send, args=(sender, function, args, kwargs), daemon=True)
        # Python drops an exception that a Ctrl-C raises in what it calls around a fork.
        with interrupts_held():
            self._child.start()
        sender.close()

    def result(self, seconds: float | None = None) -> R:
        """Return what the call returned, or raise what it raised, and end the child; raises Unanswered.

        That is also raised for a child that dies without a result and for limits of Spot's (a RuntimeError there).
        """
        try:
            if not self._receiver.poll(seconds):
                raise Unanswered(f"no result within {seconds:g} s")
            succeeded, result = self._receiver.recv()
        except EOFError:
            raise Unanswered("the process ended without a result") from None
        finally:
            self.end()
        if isinstance(result, RuntimeError | MemoryError):
            raise Unanswered(str(result) or type(result).__name__)
        if not succeeded:
            raise result
        return cast(R, result)

    def end(self) -> None:
        """Kill the child if it still runs."""
        self._child.kill()
        self._child.join()
        self._receiver.close()


def check_time_limit(seconds: float, name: str = "time limit") -> float:
    """Return a time limit if it is one; raises ValueError."""
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"the {name} must be more than 0 s and at most {MAX_SECONDS} s, got {seconds}")
    return seconds


def within(seconds: float, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return `function(...)` or raise what it raised; raises Unanswered after `seconds`."""
    return Forked(function, *args, **kwargs).result(seconds)


def _send(sender: Connection, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    # Ctrl-C reaches the whole group; the parent ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        outcome = (True, function(*args, **kwargs))
    except Exception as error:
        outcome = (False, error)
    sender.send(outcome)
