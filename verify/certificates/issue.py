"""Issuing certificates: digests of what is there, counts of what was judged."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.rulebook import Rulebook
from ..records.digests import DomainDigests, adapter_digests, domain_digests
from ..records.interval import clopper_pearson
from ..records.verdict import Status, Verdict
from ..records.versions import versions
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a certificate is about: the verdicts on sampled answers, and all that they depend on.

    `verdicts` are in the order of `Domain.prompts`; `digests` are those of the domain when they were made, None if that
    is now.
    """

    domain: Domain
    rulebook: Rulebook
    settings: Settings
    base: BaseDigests
    sampling: CertifiedSampling
    verdicts: Sequence[Verdict]
    digests: DomainDigests | None = None


def issue_certificate(adapter: Path, measured: Measurement, key: Path | None = None) -> Certificate:
    """Write the certificate of an adapter beside it, signed if a private key is given, and return it.

    Raises InputError if a file cannot be used, or has changed since the verdicts were made.
    """
    private = read_private_key(key) if key is not None else None
    certificate = new_certificate(adapter, measured)
    certificate = signed(certificate, private) if private else certificate
    write_certificate(adapter, certificate)
    return certificate


def new_certificate(adapter: Path, measured: Measurement) -> Certificate:
    """Return a certificate that nobody has signed and that stands in no file; raises InputError."""
    domain, rulebook = measured.domain, measured.rulebook
    now = domain_digests(domain, rulebook)
    if measured.digests is not None and now != measured.digests:
        changed = ", ".join(now.changed_from(measured.digests))
        raise InputError(domain.folder, f"changed after answers were judged, so nothing was certified: {changed}")
    return Certificate(
        format=FORMAT,
        issued=datetime.now(UTC).isoformat(timespec="seconds"),
        adapter=adapter_digests(adapter),
        base=measured.base,
        task=domain.name,
        rulebook=rulebook.name,
        rulebook_digest=now.rulebook,
        tasks_digest=now.tasks,
        worlds=now.worlds,
        settings=certified_settings(measured.settings),
        sampling=measured.sampling,
        counts=counts_of(measured.verdicts),
        versions=versions(),
    )


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
        for rule in verdict.deciding:
            statuses.setdefault(rule.rule_id, []).append(rule.status)
    return Counts(
        num_samples=len(verdicts),
        invalid=_count(not verdict.valid for verdict in verdicts),
        gates=_count(verdict.valid and kept for verdict, kept in zip(verdicts, gates, strict=True)),
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
