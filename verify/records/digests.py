"""Digests (SHA-256) of what a result depends on: an adapter's files, and a domain's rulebook, tasks and worlds."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.learned_world import learned_world_path
from ...specs.recorded_waits import recorded_waits_path
from ...specs.rulebook import Rulebook

CERTIFICATE = "certificate.json"
README = "README.md"
"""For people: it may stand beside an adapter, whatever it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainDigests:
    """Digests of a domain under one of its rulebooks.

    `worlds` has one for each file that describes a world, `recordings` one for the recorded waits of each world.
    """

    rulebook: str
    tasks: str
    worlds: dict[str, str]
    recordings: dict[str, str] = field(default_factory=dict)

    def changed_from(self, then: "DomainDigests") -> list[str]:
        """Return what is no longer what it was, a name each."""
        named = {"the rulebook": self.rulebook != then.rulebook, "tasks.yaml": self.tasks != then.tasks}
        files = sorted({*self.worlds, *then.worlds})
        named |= {name: self.worlds.get(name) != then.worlds.get(name) for name in files}
        recorded = sorted({*self.recordings, *then.recordings})
        named |= {
            f"the recorded waits of {world}": self.recordings.get(world) != then.recordings.get(world)
            for world in recorded
        }
        return [name for name, is_changed in named.items() if is_changed]


def domain_digests(domain: Domain, rulebook: Rulebook) -> DomainDigests:
    """Return the digests of all that verdicts on the domain's tasks depend on; raises InputError."""
    learned = [learned_world_path(domain.folder, task.world, task.relevant) for task in domain.tasks.values()]
    described = [domain.folder / "propositions.yaml", domain.folder / "worlds.yaml"]
    names = sorted({task.world for task in domain.tasks.values()})
    recorded = {name: path for name in names if (path := recorded_waits_path(domain.folder, name)).is_file()}
    worlds = [*described, *sorted({path for path in learned if path.is_file()})]
    return DomainDigests(
        rulebook=rulebook.digest,
        tasks=file_digest(domain.folder / "tasks.yaml"),
        worlds={path.name: file_digest(path) for path in worlds},
        recordings={name: file_digest(path) for name, path in recorded.items()},
    )


def adapter_digests(folder: Path) -> dict[str, str]:
    """Return the digest of each file of an adapter, weights and configuration, but for its certificate and README.md.

    Raises InputError if one cannot be read, or is a link or no plain file: what stands behind it can change unseen.
    """
    names = (path.relative_to(folder).as_posix() for path in sorted(_plain_files(folder)))
    return {name: file_digest(folder / name) for name in names if name not in (CERTIFICATE, README)}


def _plain_files(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and in those inside it."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise InputError(folder, f"cannot be read: {error.strerror}") from None
    for entry in entries:
        path = Path(entry.path)
        if entry.is_symlink():
            raise InputError(path, "is a link, expected a file or a folder of the adapter's own")
        if entry.is_dir():
            yield from _plain_files(path)
        elif entry.is_file():
            yield path
        else:
            raise InputError(path, "is neither a file nor a folder, expected a plain file")


def file_digest(path: Path) -> str:
    """Return the digest of a file's bytes; raises InputError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from None
