"""What `verilora rules` does."""

import json
import sys
from dataclasses import asdict

from ...specs.domain import Domain
from ...specs.files.errors import InputError, expected_one_of
from ...specs.rulebook import Rulebook
from ..rulebooks.lint import Linter, problems
from ..worlds.world import WorldKind
from .render_rulebook import render_rules, render_world
from .terminal import console


def lint_rulebook(
    domain: Domain, rulebook: Rulebook, world: str | None, *, time_limit: float, as_json: bool, controllers: bool
) -> int:
    """Examine a rulebook, print what was found and return 0 if it is fit for use, else 1."""
    kind = WorldKind.ABSTRACT if world == WorldKind.ABSTRACT else WorldKind.SIMULATED
    linter = Linter(domain, rulebook, time_limit, kind)
    out = console()
    rules = linter.rules()
    if not as_json:
        title = f"rulebook {rulebook.name} of {domain.name}, {len(rules)} rules, digest {rulebook.digest[:12]}"
        out.print(title, render_rules(rules), sep="\n")
    worlds = []
    for name in _worlds(domain, world):
        worlds.append(linter.world(name))
        if not as_json:
            out.print(render_world(worlds[-1], len(rules), controllers=controllers))
    found = problems(rules, worlds)
    if as_json:
        parts = {"rules": [asdict(rule) for rule in rules], "worlds": [asdict(lint) for lint in worlds]}
        book = {"rulebook": rulebook.name, "digest": rulebook.digest, "domain": domain.name}
        print(json.dumps({**book, **parts, "problems": found}, indent=2))
    for problem in found:
        print(f"problem: {problem}", file=sys.stderr)
    return int(bool(found))


def _worlds(domain: Domain, name_or_kind: str | None) -> list[str]:
    """Return the worlds to examine: one by its name, or all of them (`abstract`: leaving out what was learned)."""
    if name_or_kind in (None, WorldKind.ABSTRACT, WorldKind.SIMULATED):
        return list(domain.worlds)
    assert name_or_kind is not None
    if name_or_kind not in domain.worlds:
        expected = expected_one_of(name_or_kind, (*domain.worlds, WorldKind.ABSTRACT, WorldKind.SIMULATED))
        raise InputError(domain.folder / "worlds.yaml", f"no such world or kind: {expected}")
    return [name_or_kind]
