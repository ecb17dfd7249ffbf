"""Ceilings of paper mode: what a controller that never acts scores, and the most that any controller can."""

from dataclasses import dataclass

from ...specs.domain import Domain
from ...specs.rulebook import Rulebook
from ...specs.world_description import UNIVERSAL
from ...synth.controllers.controller import always
from ..records.verdict import Mode
from ..verdicts.settings import Settings
from ..verdicts.verifier import Verifier
from .lint import Linter


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """Raw counts. `best` is None if there was no answer in time; `dropped` are the rules that the best breaks."""

    num_rules: int
    idle: int
    best: int | None
    dropped: tuple[str, ...]


def find_ceiling(domain: Domain, rulebook: Rulebook) -> Ceiling:
    """Return the ceiling of a rulebook in the universal world on all runs."""
    settings = Settings.of(Mode.PAPER, witnesses=False)
    vocabulary = domain.vocabulary
    task = next(iter(domain.tasks.values()))
    idle = Verifier(domain, rulebook, settings).verify(always(vocabulary.idle, vocabulary), task)
    linter = Linter(domain, rulebook, kind=settings.world)
    reach = linter.reach(linter.prepare(UNIVERSAL), settings.runs, None)
    return Ceiling(num_rules=len(rulebook.rules), idle=idle.raw_kept, best=reach.best_count, dropped=reach.dropped)
