"""Where a run comes from: the digests and versions that its results depend on, checked again when it is resumed."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.rulebook import Rulebook
from ...verify.records.digests import domain_digests
from ...verify.records.run import Provenance
from ...verify.records.versions import PACKAGES, versions
from .models import Models

# What a resumed run must find as it was.
DIGESTS = (
    "rulebook_digest", "sentences_digest", "tasks_digest", "worlds", "recordings", "model_digest", "tokenizer_digest",
)  # fmt: skip


def provenance(domain: Domain, rulebook: Rulebook, models: Models) -> Provenance:
    """Return the digests, versions and time that `config.json` holds beside the settings."""
    digests = domain_digests(domain, rulebook)
    generator = models.generator()
    return Provenance(
        rulebook_digest=digests.rulebook,
        sentences_digest=rulebook.sentences_digest,
        tasks_digest=digests.tasks,
        worlds=digests.worlds,
        recordings=digests.recordings,
        model_digest=generator.digest,
        tokenizer_digest=generator.tokenizer_digest,
        versions={"commit": _commit(), **versions((*PACKAGES, "highway-env"))},
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def check_same_origin(path: Path, then: Provenance, now: Provenance, say: Callable[[str], None]) -> None:
    """Raise InputError that says what a run depends on and has changed since it began; say which versions have."""
    changed = [name for name in DIGESTS if getattr(then, name) != getattr(now, name)]
    if changed:
        parts = [_difference(name, getattr(then, name), getattr(now, name)) for name in changed]
        raise InputError(
            path, f"the run cannot go on, because what it depends on has changed since it began: {'; '.join(parts)}"
        )
    for name, found in now.versions.items():
        began = then.versions.get(name)
        if began != found:
            say(f"the run began with {name} {began}, it goes on with {found}")


def _difference(name: str, then: str | dict[str, str], now: str | dict[str, str]) -> str:
    if isinstance(now, dict) and isinstance(then, dict):
        files = sorted(file for file in {*then, *now} if then.get(file) != now.get(file))
        return f"{name}: {', '.join(files)}"
    return f"{name}: was {str(then)[:12]}, is {str(now)[:12]}"


def _commit() -> str:
    """Return the commit of the checkout that runs, empty outside of one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip()
