"""What the commands `verilora verify` and `verilora rules` do."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..specs.domain import Domain
from ..specs.files.errors import SpecError, expected_one_of
from ..specs.rulebook import Rulebook
from ..specs.task import Task
from .lint import Linter, problems
from .render import console, render_rules, render_scores, render_verdict, render_world
from .scores import Scorer
from .source import Response, read_response
from .verifier import Settings, Verifier
from .world import WorldKind


def verify_files(
    names: Sequence[str],
    domain: Domain,
    rulebook: Rulebook,
    settings: Settings,
    task_id: str | None,
    *,
    as_json: bool = False,
    strict: bool = False,
    within: int | None = None,
) -> int:
    """Verify files, print what was found and return the highest exit code; a file that cannot be used does not stop.

    With `within`, also the probability of each rule to be kept, pending or violated after that many seconds.
    """
    verifier = Verifier(domain, rulebook, settings)
    scorer = Scorer(domain, rulebook, within, settings.time_limit) if within else None
    objects: list[dict[str, Any]] = []
    exit_codes = []
    for name in names:
        try:
            response = read_response(name)
            task = task_of(domain, response, task_id)
            verdict = verifier.verify_text(response.text, task)
        except SpecError as error:
            print(f"error: {error}", file=sys.stderr)
            objects.append({"file": name, "error": str(error)})
            exit_codes.append(2)
            continue
        if not as_json:
            console().print(render_verdict(name, verdict, response.text, domain, rulebook))
        scored: dict[str, object] = {}
        if scorer and verdict.is_valid:
            scores = scorer.score(verifier.read(response.text), task, verdict)
            scored = {"within": scores}
            if not as_json:
                console().print(render_scores(scores, scorer.num_letters))
        objects.append({"file": name, **verdict.to_json(), **scored})
        exit_codes.append(verdict.exit_code(strict=strict))
    if as_json:
        print(json.dumps(objects, indent=2))
    return max(exit_codes)


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


def task_of(domain: Domain, response: Response, task_id: str | None) -> Task:
    """Return the task of a response; raises SpecError if none is named, or two."""
    if task_id and response.task_id and task_id != response.task_id:
        raise SpecError(response.name, f"its first line names the task {response.task_id!r}, --for names {task_id!r}")
    chosen = task_id or response.task_id
    if not chosen:
        ids = "\n  ".join(domain.tasks)
        raise SpecError(response.name, f"no task: expected --for ID or a first line 'Task: ID' with one of\n  {ids}")
    if chosen not in domain.tasks:
        raise SpecError(response.name, f"no such task: {expected_one_of(chosen, domain.tasks)}")
    return domain.tasks[chosen]


def _worlds(domain: Domain, name_or_kind: str | None) -> list[str]:
    """Return the worlds to examine: one by its name, or all of them (`abstract`: leaving out what was learned)."""
    if name_or_kind in (None, WorldKind.ABSTRACT, WorldKind.SIMULATED):
        return list(domain.worlds)
    assert name_or_kind is not None
    if name_or_kind not in domain.worlds:
        expected = expected_one_of(name_or_kind, (*domain.worlds, WorldKind.ABSTRACT, WorldKind.SIMULATED))
        raise SpecError(domain.folder / "worlds.yaml", f"no such world or kind: {expected}")
    return [name_or_kind]
