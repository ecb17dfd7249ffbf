"""What the claim of a run rests on: what was learned of each world, what was left free, and how much was seen."""

from dataclasses import dataclass
from typing import Any

from ...specs.domain import Domain
from ...specs.task import Task
from .world import WorldKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One world as tasks are judged in it. The counts and bounds are None if nothing was learned.

    `missing_mass` is the chance that the next transition of an episode is a new one. Of `held_out_episodes`, which
    nothing was learned from, `held_out_leaving` hold a transition that was never seen; at 95 % their share is at most
    `leaving_bound`.
    """

    world: str
    english: str
    tasks: tuple[str, ...]
    learned: tuple[str, ...]
    free: tuple[str, ...]
    constraints: tuple[str, ...]
    excluded: tuple[str, ...]
    episodes: int | None = None
    labels: int | None = None
    transitions: int | None = None
    missing_mass: float | None = None
    held_out_episodes: int | None = None
    held_out_leaving: int | None = None
    leaving_bound: float | None = None

    @property
    def possible_labels(self) -> int:
        return int(2 ** len(self.learned))


def coverages(domain: Domain, kind: str) -> tuple[Coverage, ...]:
    """Return the worlds that a domain's tasks are judged in, each once; raises InputError."""
    if kind == WorldKind.UNIVERSAL:
        return (_universal(domain),)
    groups: dict[tuple[str, frozenset[str]], list[Task]] = {}
    for task in domain.tasks.values():
        relevant = frozenset(task.relevant) if kind == WorldKind.SIMULATED else frozenset()
        groups.setdefault((task.world, relevant), []).append(task)
    return tuple(_coverage(domain, tasks, is_learned=kind == WorldKind.SIMULATED) for tasks in groups.values())


def _universal(domain: Domain) -> Coverage:
    names = domain.vocabulary.proposition_ids
    return Coverage(
        world=WorldKind.UNIVERSAL,
        english="anywhere",
        tasks=tuple(domain.tasks),
        learned=(),
        free=names,
        constraints=(),
        excluded=(),
    )


def _coverage(domain: Domain, tasks: list[Task], *, is_learned: bool) -> Coverage:
    world = domain.world(tasks[0].world)
    learned = domain.learned_world(tasks[0]) if is_learned else None
    names = learned.propositions if learned else ()
    exclusions = (*world.exclusions, *learned.exclusions) if learned else ()
    counted = {name: learned.coverage.get(name) for name in _COUNTED} if learned else {}
    numbers: dict[str, Any] = {name: value for name, value in counted.items() if isinstance(value, int | float)}
    return Coverage(
        world=tasks[0].world,
        english=world.english,
        tasks=tuple(task.id for task in tasks),
        learned=names,
        free=tuple(name for name in world.free if name not in names),
        constraints=tuple(constraint.text for constraint in world.constraints),
        excluded=tuple(dict.fromkeys(f"{exclusion.formula.text} ({exclusion.reason})" for exclusion in exclusions)),
        **numbers,
    )


_COUNTED = (
    "episodes",
    "labels",
    "transitions",
    "missing_mass",
    "held_out_episodes",
    "held_out_leaving",
    "leaving_bound",
)
