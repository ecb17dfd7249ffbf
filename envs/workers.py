"""Worker processes for simulations, which leave a Ctrl-C to the process that started them."""

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver, get_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item], num_processes: int) -> Iterator[Result]:
    """Yield the results of some work in the order of its items, done here or in several processes.

    Who stops asking, or is interrupted, waits for what is being done, and the rest is left undone.
    """
    if num_processes == 1:
        yield from map(work, items)
        return
    # The server inherits that interrupts are blocked, and all workers are forked from it.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    with ProcessPoolExecutor(num_processes, mp_context=get_context("forkserver")) as executor:
        try:
            yield from executor.map(work, items)
        finally:
            executor.shutdown(cancel_futures=True)
