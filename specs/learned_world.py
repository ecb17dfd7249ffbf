"""Learned worlds: what was counted in a simulator about at most four propositions of a world (`worlds/*.json`)."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from .files.atomic import write_text
from .files.errors import InputError, expected_one_of
from .files.record import NESTS_TOO_DEEPLY, decode_json
from .files.yaml_file import Row, read_text
from .vocabulary import Name
from .world_description import Exclusion, WorldDescription

MAX_PROPOSITIONS = 4
MAX_BYTES = 2**24
FORMAT = 1
LABELS = 2
"""The version of what the simulator's labels mean. It goes up when that changes: what was counted is no longer so."""
Label = tuple[Name, ...]


class Transition(Row):
    """How often one label followed another, a second later. `source` is None for the first label of an episode."""

    source: Label | None
    target: Label
    count: Annotated[int, Field(ge=1)]


class LearnedWorld(Row):
    """A first-order chain over labels, the learned propositions that are true, with counts and where they come from.

    `coverage` and `provenance` are for people and reports: episodes, bounds, environment, versions, seeds, command.
    `labels` is the version of the labels that were counted, None if no simulator that ships gave them.
    """

    format: int
    labels: int | None = None
    world: Name
    propositions: tuple[Name, ...] = Field(min_length=1, max_length=MAX_PROPOSITIONS)
    exclusions: tuple[Exclusion, ...]
    transitions: tuple[Transition, ...] = Field(min_length=1)
    coverage: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 over the whole content."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()


def learned_world_path(folder: Path, world: str, propositions: Iterable[str]) -> Path:
    """Return where the learned world over a set of propositions stands in a domain's folder."""
    return folder / "worlds" / f"{world}.{'.'.join(sorted(propositions))}.json"


def read_learned_world(path: Path, worlds: Mapping[str, WorldDescription]) -> LearnedWorld:
    """Return the learned world of a file; raises InputError, also if its content does not match its digest or name."""
    content = decode_json(read_text(path, MAX_BYTES), path)
    digest = content.pop("digest", None) if isinstance(content, dict) else None
    # Before the digest, which covers a field that files of the first version lack.
    if isinstance(content, dict) and (found := content.get("labels", 1)) not in (None, LABELS):
        mended = "the labels have changed since; `verilora world learn` learns the world again"
        raise InputError(path, f"got {found!r}, expected {LABELS}: {mended}", field="labels")
    try:
        learned = LearnedWorld.model_validate(content)
        expected = learned.digest
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise InputError(path, first["msg"].removeprefix("Value error, "), field=field) from None
    except (RecursionError, ValueError):
        # Of pydantic's, which writes only so deep.
        raise InputError(path, NESTS_TOO_DEEPLY) from None
    if digest != expected:
        raise InputError(path, f"got {digest!r}, but its content has {expected!r}", field="digest")
    _check(learned, path, worlds)
    if path.name != learned_world_path(path, learned.world, learned.propositions).name:
        raise InputError(path, f"holds the world {learned.world!r} over {', '.join(learned.propositions)}")
    return learned


def write_learned_world(path: Path, learned: LearnedWorld) -> None:
    """Write a learned world with its digest; the file is complete or does not appear."""
    content = {"digest": learned.digest, **learned.model_dump(mode="json")}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, indent=1) + "\n")


def _check(learned: LearnedWorld, path: Path, worlds: Mapping[str, WorldDescription]) -> None:
    if learned.format != FORMAT:
        raise InputError(path, f"got {learned.format}, expected {FORMAT}", field="format")
    if learned.world not in worlds:
        raise InputError(path, f"no such world: {expected_one_of(learned.world, worlds)}", field="world")
    free = worlds[learned.world].free
    for name in learned.propositions:
        if name not in free:
            message = f"not free in the world {learned.world!r}: {expected_one_of(name, free)}"
            raise InputError(path, message, field="propositions")
    seen: set[tuple[Label | None, Label]] = set()
    for row, transition in enumerate(learned.transitions):
        for name in {*(transition.source or ()), *transition.target} - {*learned.propositions}:
            message = f"not learned here: {expected_one_of(name, learned.propositions)}"
            raise InputError(path, message, field=f"transitions.{row}")
        for label in (transition.source or (), transition.target):
            if label != tuple(name for name in learned.propositions if name in label):
                message = f"expected each name once, in the order of 'propositions', got {label}"
                raise InputError(path, message, field=f"transitions.{row}")
        if (transition.source, transition.target) in seen:
            raise InputError(path, "the transition stands here a second time", field=f"transitions.{row}")
        seen.add((transition.source, transition.target))
    for row, exclusion in enumerate(learned.exclusions):
        for name in exclusion.formula.propositions - {*learned.propositions}:
            message = f"not learned here: {expected_one_of(name, learned.propositions)}"
            raise InputError(path, message, field=f"exclusions.{row}.formula")
        if not exclusion.formula.is_syntactic_safety:
            message = f"{exclusion.formula.text!r} is not of the form of a safety formula"
            raise InputError(path, message, field=f"exclusions.{row}.formula")
