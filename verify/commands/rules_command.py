"""What `verilora rules` does."""

import json

from rich.console import Console

from ...specs.domain import Domain
from ...specs.files.printable import complain
from ...specs.rulebook import Rulebook
from ..rulebooks.lint import Examination, RulebookLint
from .render_rulebook import render_rules, render_world
from .terminal import INTERRUPTED, PlainConsole, console, progress


def lint_rulebook(
    domain: Domain, rulebook: Rulebook, world: str | None, *, time_limit: float, as_json: bool, controllers: bool
) -> int:
    """Examine a rulebook, print what was found and return 0 if it is fit for use, else 1.

    A Ctrl-C ends that: what was found until then is printed, and 130 returned.
    """
    out = console()
    examination = Examination(domain, rulebook, world=world, time_limit=time_limit)
    tables = None if as_json else _Tables(out, rulebook, controllers=controllers)
    found: RulebookLint | None = None
    # Data that goes to a file or a pipe has no progress in it.
    told = out if tables and out.is_terminal else PlainConsole(stderr=True)
    try:
        with progress(told, f"rulebook {rulebook.name}, questions answered", examination.num_questions) as report:
            for number, found in enumerate(examination.run(), start=1):
                if tables:
                    tables.show(found)
                report(number)
    except KeyboardInterrupt:
        if found is None:
            raise
    assert found is not None, "a domain has worlds, and each is asked about"
    if tables:
        tables.show(found, is_last=True)
    else:
        print(json.dumps(found.to_json(), indent=2))
    for problem in found.problems:
        complain(f"problem: {problem}")
    if not found.complete:
        complain("interrupted: not all questions are answered")
        return INTERRUPTED
    return int(bool(found.problems))


class _Tables:
    """Prints each table once, as soon as it is full: that of the rules, and one for each world."""

    def __init__(self, out: Console, rulebook: Rulebook, *, controllers: bool) -> None:
        self._out = out
        self._num_rules = len(rulebook.rules)
        self._controllers = controllers
        self._num_shown = 0

    def show(self, found: RulebookLint, *, is_last: bool = False) -> None:
        """Print what has become full; what is not full only if nothing follows."""
        is_full = len(found.rules) == self._num_rules
        if not self._num_shown and (is_full or is_last):
            self._num_shown = 1
            title = f"rulebook {found.rulebook} of {found.domain}, {self._num_rules} rules, digest {found.digest[:12]}"
            self._out.print(title, render_rules(found), sep="\n")
        # The last world may go on.
        num_full = len(found.worlds) - (0 if is_last or found.complete else 1)
        for world in found.worlds[max(0, self._num_shown - 1) : max(0, num_full)]:
            self._out.print(render_world(world, self._num_rules, controllers=self._controllers))
            self._num_shown += 1
