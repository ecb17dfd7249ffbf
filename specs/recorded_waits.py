"""Recorded waits: what was the case, second by second, while a car stood at its line (`recordings/*.json`)."""

import hashlib
import json
from collections.abc import Iterable
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from .files.atomic import write_text
from .files.errors import InputError
from .files.record import NESTS_TOO_DEEPLY, decode_json, parse_record
from .files.yaml_file import Row, read_text
from .learned_world import LABELS
from .vocabulary import Name, Vocabulary

FORMAT = 1
MAX_BYTES = 2**24
MAX_SECONDS = 100_000
AGAIN = "`verilora world record` records it again"


class RecordingSet(StrEnum):
    """Which recordings are replayed: those that answers are ranked by, or those that are reported and certified."""

    RANKING = "ranking"
    REPORT = "report"


def pack(letters: Iterable[int]) -> str:
    """Return letters, a number each, as hexadecimal words; `7*3` is 7 in three seconds that follow each other."""
    runs = ((letter, len(list(same))) for letter, same in groupby(letters))
    return " ".join(f"{letter:x}*{count}" if count > 1 else f"{letter:x}" for letter, count in runs)


def unpack(text: str) -> tuple[int, ...]:
    """Return the letters that `pack` wrote; raises ValueError for anything else."""
    letters: list[int] = []
    for word in text.split():
        letter, _, count = word.partition("*")
        num = int(count or "1")
        if not 1 <= num <= MAX_SECONDS - len(letters):
            raise ValueError(f"expected 1 to {MAX_SECONDS} seconds in all, got {word!r}")
        letters += [int(letter, 16)] * num
    return tuple(letters)


def _packed(text: str) -> str:
    unpack(text)
    return text


class Wait(Row):
    """A wait at a line, the first, or a later one that `after` leads on to from the line before it.

    The first `roll` letters are those of the way there. Bit k of a letter is proposition k.
    """

    recordings: RecordingSet
    seed: int
    line: int = Field(ge=1)
    after: Name | None
    roll: int = Field(ge=0)
    labels: Annotated[str, AfterValidator(_packed)]

    @property
    def letters(self) -> tuple[int, ...]:
        """The letters of all seconds."""
        return unpack(self.labels)


class RecordedWaits(Row):
    """The recorded waits of a world. `labels` is the version of the labels that were recorded."""

    format: int
    labels: int
    world: Name
    propositions: tuple[Name, ...] = Field(min_length=1)
    waits: tuple[Wait, ...]
    provenance: dict[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 over the whole content."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()


def recorded_waits_path(folder: Path, world: str) -> Path:
    """Return where the recorded waits of a world stand in a domain's folder."""
    return folder / "recordings" / f"{world}.json"


def read_recorded_waits(path: Path, vocabulary: Vocabulary) -> RecordedWaits:
    """Return the waits of a file; raises InputError, also for those of other labels or propositions than of today."""
    content = decode_json(read_text(path, MAX_BYTES), path)
    digest = content.pop("digest", None) if isinstance(content, dict) else None
    found = parse_record(content, RecordedWaits, path)
    try:
        expected = found.digest
    except (RecursionError, ValueError):
        # Of pydantic's, which writes only so deep.
        raise InputError(path, NESTS_TOO_DEEPLY) from None
    if digest != expected:
        raise InputError(path, f"got {digest!r}, but its content has {expected!r}", field="digest")
    _check(found, path, vocabulary)
    return found


def write_recorded_waits(path: Path, waits: RecordedWaits) -> None:
    """Write waits with their digest, a line each; the file is complete or does not appear."""
    content = {"digest": waits.digest, **waits.model_dump(mode="json", exclude={"waits"})}
    rows = ",\n  ".join(json.dumps(row) for row in waits.model_dump(mode="json")["waits"])
    head = json.dumps(content, indent=1).removesuffix("\n}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, f'{head},\n "waits": [\n  {rows}\n ]\n}}\n')


def _check(found: RecordedWaits, path: Path, vocabulary: Vocabulary) -> None:
    if found.format != FORMAT:
        raise InputError(path, f"got {found.format}, expected {FORMAT}", field="format")
    if path.name != recorded_waits_path(path, found.world).name:
        raise InputError(path, f"holds the waits of {found.world!r}", field="world")
    if found.labels != LABELS:
        message = f"got version {found.labels} of the labels, expected {LABELS}: {AGAIN}"
        raise InputError(path, message, field="labels")
    if found.propositions != vocabulary.proposition_ids:
        got, expected = (", ".join(names) for names in (found.propositions, vocabulary.proposition_ids))
        raise InputError(path, f"got {got}, expected {expected}: {AGAIN}", field="propositions")
    for row, wait in enumerate(found.waits):
        letters = wait.letters
        if not all(0 <= letter < 1 << len(found.propositions) for letter in letters):
            message = f"expected letters of {len(found.propositions)} propositions"
            raise InputError(path, message, field=f"waits.{row}.labels")
        if wait.roll >= len(letters):
            message = f"got {wait.roll}, expected less than its {len(letters)} seconds"
            raise InputError(path, message, field=f"waits.{row}.roll")
        if (wait.line == 1) != (wait.after is None):
            message = f"got {wait.after!r} for line {wait.line}, expected an action for lines behind the first only"
            raise InputError(path, message, field=f"waits.{row}.after")
