"""Descriptions of worlds: which propositions exist there and what is known about them (`worlds.yaml`)."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from .files.errors import expected_one_of
from .files.yaml_file import Row, YamlFile, read_yaml
from .logic import Formula
from .vocabulary import Name, Vocabulary

UNIVERSAL = "universal"


class Exclusion(Row):
    """A safety formula that holds in a world although a simulator may not have shown it, and the reason why it does."""

    formula: Formula
    reason: str


class WorldDescription(Row):
    """A world. Its free propositions may change at any time, its constant ones are true, all others are absent (false).

    `constraints` are safety formulas that hold in it, `constraint_reasons` say why, one for each; `fairness` is what
    synthesis may assume of it; `exclusions` are what a learned world rules out beyond what was seen.
    """

    english: str = ""
    description: str = ""
    free: tuple[Name, ...]
    constant: tuple[Name, ...] = ()
    constraints: tuple[Formula, ...] = ()
    constraint_reasons: tuple[str, ...] = ()
    fairness: Formula = Formula("true")
    exclusions: tuple[Exclusion, ...] = ()


class _Entry(WorldDescription):
    free: tuple[Name, ...] | Literal["all"]  # type: ignore[assignment]


class _File(Row):
    worlds: dict[Name, _Entry] = Field(min_length=1)


def read_worlds(path: Path, vocabulary: Vocabulary) -> dict[str, WorldDescription]:
    """Return the worlds of a file by name, always with the universal one, where all is free; raises InputError."""
    file = read_yaml(path)
    entries = file.parse(_File).worlds
    worlds = {name: _checked(name, _resolved(entry, vocabulary), file, vocabulary) for name, entry in entries.items()}
    return {UNIVERSAL: WorldDescription(free=vocabulary.proposition_ids), **worlds}


def _resolved(entry: _Entry, vocabulary: Vocabulary) -> WorldDescription:
    free = vocabulary.proposition_ids if entry.free == "all" else entry.free
    return WorldDescription(**{**dict(entry), "free": free})


def _checked(name: str, world: WorldDescription, file: YamlFile, vocabulary: Vocabulary) -> WorldDescription:
    at = ("worlds", name)
    for field in ("free", "constant"):
        seen: set[str] = set()
        for index, proposition in enumerate(getattr(world, field)):
            if proposition not in vocabulary.proposition_ids:
                message = f"unknown proposition: {expected_one_of(proposition, vocabulary.proposition_ids)}"
                raise file.error((*at, field, index), message)
            if proposition in seen:
                raise file.error((*at, field, index), f"duplicate proposition {proposition!r}")
            seen.add(proposition)
    for proposition in sorted(set(world.free) & set(world.constant)):
        raise file.error((*at, "constant"), f"{proposition!r} is both free and constant")
    if name == UNIVERSAL and (set(world.free) != set(vocabulary.proposition_ids) or world.constraints):
        raise file.error(at, "in the universal world all is free and nothing constrained: expected 'free: all'")
    for index, constraint in enumerate(world.constraints):
        vocabulary.check(constraint, file, (*at, "constraints", index), actions=False)
        if not constraint.is_syntactic_safety:
            message = f"{constraint.text!r} is not of the form of a safety formula (what never happens)"
            raise file.error((*at, "constraints", index), message)
    if world.constraint_reasons and len(world.constraint_reasons) != len(world.constraints):
        got = f"got {len(world.constraint_reasons)} for {len(world.constraints)} constraints"
        raise file.error((*at, "constraint_reasons"), f"expected one for each constraint or none at all, {got}")
    for index, exclusion in enumerate(world.exclusions):
        location = (*at, "exclusions", index, "formula")
        vocabulary.check(exclusion.formula, file, location, actions=False)
        if not exclusion.formula.is_syntactic_safety:
            raise file.error(location, f"{exclusion.formula.text!r} is not of the form of a safety formula")
    vocabulary.check(world.fairness, file, (*at, "fairness"), actions=False)
    return world
