"""The console, and the progress of long work on it: a bar on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

INTERRUPTED = 130
"""The exit code of a command that a Ctrl-C ended."""


def console() -> Console:
    """Return a console that prints data as it is; output to a file or a pipe is wide enough for the tables."""
    plain = Console(markup=False, emoji=False, highlight=False)
    return plain if plain.is_terminal else Console(markup=False, emoji=False, highlight=False, width=160)


@contextmanager
def progress(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes how much is done."""
    if console.is_terminal:
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.update(task, completed=done)
        return
    tenths = -1

    def report(done: int) -> None:
        nonlocal tenths
        if total and done * 10 // total > tenths:
            tenths = done * 10 // total
            console.print(f"{what}: {done} of {total}")

    yield report
