"""The console, and the progress of long work on it: a bar on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

from ...specs.files.printable import one_line, printable

INTERRUPTED = 130
"""The exit code of a command that a Ctrl-C ended."""


class PlainConsole(Console):
    """A console on which no text is a command: what would move the cursor, recolour or hide is written out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as text, written out before it is laid out."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is drawn; all output passes here, only the console's own movements are left as they are."""
        for segment in super().render(renderable, options):
            shown = segment.text if segment.control else printable(segment.text)
            yield segment if shown == segment.text else segment._replace(text=shown)


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints data as it is; output to a file or a pipe is wide enough for the tables."""
    plain = PlainConsole(stderr=stderr)
    return plain if plain.is_terminal else PlainConsole(stderr=stderr, width=160)


@contextmanager
def progress(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes how much is done."""
    what = one_line(what)
    if console.is_terminal:
        # The column that Rich would take reads its text as markup.
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
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
