"""Worker processes for simulations, which leave a Ctrl-C to the process that started them."""

import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, resource_tracker
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], num_processes: int
) -> Generator[Result, None, None]:
    """Yield the results of some work in the order of its items, done here or in several processes.

    Who stops asking, or is interrupted, waits for what is being done, and the rest is left undone.
    """
    if num_processes == 1:
        yield from map(work, items)
        return
    executor = None
    try:
        # Starting the tracker, which everything else here does first, would let a Ctrl-C through.
        resource_tracker.ensure_running()
        # Half-started workers would complain of what they miss. A server of processes that starts now inherits that a
        # Ctrl-C waits, and so do all workers forked from it.
        with interrupts_held():
            forkserver.ensure_running()
            executor = ProcessPoolExecutor(num_processes, mp_context=get_context("forkserver"))
            results = executor.map(work, items)
        yield from results
    finally:
        if executor:
            executor.shutdown(cancel_futures=True)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let a Ctrl-C wait until the end of the block; a process that starts in it inherits that and lets it wait."""
    # The alarm asks again for a Ctrl-C that came during an import (`specs/processes/interrupts.py`).
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGALRM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
