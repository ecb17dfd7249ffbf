"""Issuing certificates: digests of what is there, counts of what was judged."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.rulebook import Rulebook
from ...specs.task import Split, Task
from ..records.digests import DomainDigests, adapter_digests, domain_digests
from ..records.interval import clopper_pearson
from ..records.verdict import Status, Verdict
from ..verdicts.verifier import Settings
from .certificate import (
    FORMAT,
    BaseDigests,
    Certificate,
    CertifiedSampling,
    CertifiedSettings,
    Count,
    Counts,
    RuleCount,
    signed,
    write_certificate,
)
from .signature import read_private_key

PACKAGES = ("verilora", "torch", "transformers", "peft", "trl", "spottl")


def issue_certificate(
    adapter: Path,
    *,
    domain: Domain,
    rulebook: Rulebook,
    settings: Settings,
    base: BaseDigests,
    sampling: CertifiedSampling,
    verdicts: Sequence[Verdict],
    key: Path | None = None,
    digests: DomainDigests | None = None,
) -> Certificate:
    """Write the certificate of an adapter beside it, signed if a private key is given, and return it.

    `verdicts` are those on the answers to `certified_prompts`, `digests` those of the domain when they were made.
    Raises InputError if a file cannot be used, or has changed since then.
    """
    private = read_private_key(key) if key is not None else None
    certificate = new_certificate(
        adapter,
        domain=domain,
        rulebook=rulebook,
        settings=settings,
        base=base,
        sampling=sampling,
        verdicts=verdicts,
        digests=digests,
    )
    certificate = signed(certificate, private) if private else certificate
    write_certificate(adapter, certificate)
    return certificate


def new_certificate(
    adapter: Path,
    *,
    domain: Domain,
    rulebook: Rulebook,
    settings: Settings,
    base: BaseDigests,
    sampling: CertifiedSampling,
    verdicts: Sequence[Verdict],
    digests: DomainDigests | None = None,
) -> Certificate:
    """Return a certificate that nobody has signed and that stands in no file; raises InputError."""
    now = domain_digests(domain, rulebook)
    if digests is not None and now != digests:
        changed = ", ".join(now.changed_from(digests))
        raise InputError(domain.folder, f"changed after answers were judged, so nothing was certified: {changed}")
    return Certificate(
        format=FORMAT,
        issued=datetime.now(UTC).isoformat(timespec="seconds"),
        adapter=adapter_digests(adapter),
        base=base,
        task=domain.name,
        rulebook=rulebook.name,
        rulebook_digest=now.rulebook,
        tasks_digest=now.tasks,
        worlds=now.worlds,
        settings=certified_settings(settings),
        sampling=sampling,
        counts=counts_of(verdicts),
        versions={"python": python_version(), **versions(PACKAGES)},
    )


def certified_prompts(domain: Domain, splits: Sequence[Split], samples_per_prompt: int) -> list[tuple[Task, str]]:
    """Return the tasks and wordings that a certificate samples: file order, each repeated."""
    asked = [
        (task, wording)
        for split in splits
        for task in domain.tasks.values()
        for wording in task.wordings.get(split, ())
    ]
    return [prompt for prompt in asked for _ in range(samples_per_prompt)]


def certified_settings(settings: Settings) -> CertifiedSettings:
    """Return what of a verifier's settings a certificate records."""
    return CertifiedSettings(
        world=settings.world,
        mode=settings.mode,
        paths=settings.runs,
        ending=settings.reading.ending,
        otherwise=settings.reading.otherwise,
        max_steps=settings.max_steps,
        time_limit=settings.time_limit,
    )


def counts_of(verdicts: Sequence[Verdict]) -> Counts:
    """Return what a certificate counts of some verdicts: only what holds in all that nothing excludes."""
    gates = [all(gate.status is Status.SATISFIED for gate in verdict.gates) for verdict in verdicts]
    strict = [verdict.exit_code(strict=True) == 0 for verdict in verdicts]
    statuses: dict[str, list[Status]] = {}
    for verdict in verdicts:
        for rule in verdict.judged:
            statuses.setdefault(rule.rule_id, []).append(rule.status)
    return Counts(
        num_samples=len(verdicts),
        invalid=_count(not verdict.is_valid for verdict in verdicts),
        gates=_count(verdict.is_valid and kept for verdict, kept in zip(verdicts, gates, strict=True)),
        all_kept=_count(strict),
        rules={rule_id: _rule_count(found) for rule_id, found in statuses.items()},
    )


def _rule_count(statuses: Sequence[Status]) -> RuleCount:
    certified = _count(status is Status.SATISFIED for status in statuses)
    return RuleCount(**dict(certified), observed_only=sum(status is Status.OBSERVED for status in statuses))


def _count(outcomes: Iterable[bool]) -> Count:
    found = list(outcomes)
    low, high = clopper_pearson(sum(found), len(found))
    return Count(count=sum(found), of=len(found), low=low, high=high)


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of some packages."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            # From a bare checkout nothing is installed under our own name.
            found[package] = "not installed"
    return found
