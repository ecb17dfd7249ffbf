"""What `verilora rules` does."""

import json

from ...specs.domain import Domain
from ...specs.files.printable import complain
from ...specs.rulebook import Rulebook
from ..rulebooks.lint import RulebookLint, lint
from .render_rulebook import render_rules, render_world
from .terminal import console


def lint_rulebook(
    domain: Domain, rulebook: Rulebook, world: str | None, *, time_limit: float, as_json: bool, controllers: bool
) -> int:
    """Examine a rulebook, print what was found and return 0 if it is fit for use, else 1."""
    out = console()

    def show(found: RulebookLint) -> None:
        if found.worlds:
            out.print(render_world(found.worlds[-1], len(found.rules), controllers=controllers))
        else:
            title = f"rulebook {found.rulebook} of {found.domain}, {len(found.rules)} rules, digest {found.digest[:12]}"
            out.print(title, render_rules(found), sep="\n")

    found = lint(domain, rulebook, world=world, time_limit=time_limit, report=(lambda found: None) if as_json else show)
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    for problem in found.problems:
        complain(f"problem: {problem}")
    return int(bool(found.problems))
