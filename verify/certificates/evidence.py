"""Evidence of a certificate: digests of the answers and verdicts that were counted, and of the files that hold them."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from pydantic import Field

from ...specs.files.errors import InputError
from ...specs.files.yaml_file import Row
from ..records.digests import CERTIFICATE, file_digest
from ..records.verdict import Verdict
from .content import Digest


class Evidence(Row):
    """Digests of what was counted.

    `answers` and `verdicts` stand for a line of canonical JSON for each, in the order of the prompts; `files` are those
    of the run's directory that hold them, none for answers that a renewal sampled.
    """

    answers: Digest
    verdicts: Digest
    files: dict[str, Digest] = Field(default_factory=dict)


def evidence_of(
    prompts: Sequence[tuple[str, str]], texts: Sequence[str], verdicts: Sequence[Verdict], files: Mapping[str, Path]
) -> Evidence:
    """Return the digests of answers and verdicts, and of the files that hold them, by name; raises InputError."""
    answers = ([*prompt, text] for prompt, text in zip(prompts, texts, strict=True))
    return Evidence(
        answers=_lines_digest(answers),
        verdicts=_lines_digest(verdict.to_json() for verdict in verdicts),
        files={name: file_digest(path) for name, path in files.items()},
    )


def changed_files(evidence: Evidence, run: Path) -> list[str]:
    """Return the files of a run's directory that are no longer those that were counted from, or gone.

    Raises InputError for a name that leads out of the directory.
    """
    for name in evidence.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            message = f"got {name!r}, expected a file of the run's directory"
            raise InputError(CERTIFICATE, message, field="evidence.files")
    return [
        name if (run / name).is_file() else f"{name} (gone)"
        for name, digest in evidence.files.items()
        if not (run / name).is_file() or file_digest(run / name) != digest
    ]


def _lines_digest(values: Iterable[object]) -> str:
    """Return SHA-256 over values as lines of canonical JSON (sorted keys, no spaces, ASCII)."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()
